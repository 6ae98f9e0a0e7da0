"""What a bundle does, whatever it is called: the identity that refusals hold for (R8).

A bundle's id is the hash of all that is known of it, so other gates, another evaluation or a
release are another bundle. What a client is answered follows from much less.
"""

from __future__ import annotations

from tuneloop.hashing import digest_json
from tuneloop.registry.manifest import Manifest


def behaviour_of(manifest: Manifest) -> str:
    """Digest of what decides an answer: served file, chat template, system text, and sampling with
    the schema that it is kept to.

    What follows from the file (base, adapter, control tokens, whether it thinks) and what decides
    only how fast it answers, how it was judged or where it is sent, is no part of it. A manifest
    that names no file is like no other.
    """
    serving = manifest.serving
    file = serving.digest or manifest.artifacts.export
    if not file:
        return digest_json(manifest.as_json())
    return digest_json(
        {
            "file": file,
            "chat_template": serving.chat_template,
            "system": manifest.task.system,
            "sampling": serving.sampling,
        }
    )
