"""Texts that ask whether or not a question mark says so.

People leave the mark out: `where is my parcel` asks without it, `You are open on Sunday` asks with
it only. Languages are told by their words for asking alone, so what is a question by its tone or by
the order of its words is known in English only; elsewhere the mark then counts.
"""

from __future__ import annotations

import re
from itertools import dropwhile

from tuneloop.sameness.segmenting import tokens

_FIRST_WORDS = """
    what which who whom whose when where why how is are was were am can could will would shall
    should did isn aren wasn weren couldn won wouldn shouldn didn
    wer wen wem wessen was wann wo woher wohin warum wieso weshalb wie wieviel welche welcher
    welches welchen welchem kann können könnte könnt darf gibt
    qui que quoi quel quelle quels quelles quand où comment pourquoi combien est-ce peut-on puis-je
    qué quién quiénes cuándo dónde cómo cuál cuáles cuánto cuánta cuántos cuántas
    chi cosa quando dove perché quale quali quanto quanta
    quem onde como qual quais quantos
    wat wanneer waar hoe waarom welk
    kto co kiedy gdzie jak dlaczego czy ile który
    hvad hvem hvornår hvor hvorfor hvordan vad vem när var varför hur hva når
    кто что когда где как почему зачем какой какая какие куда откуда сколько можно
    хто що коли де чому який яка скільки чи
    kim nerede nasıl neden niçin kaç hangi
    ποιος ποια ποιο πότε πού πώς γιατί τι πόσο
    هل ما ماذا متى أين كيف لماذا كم
    מי מה מתי איפה איך למה כמה האם
"""
_FIRST = frozenset(_FIRST_WORDS.split())
"""First words of a question, in lower case."""
_BEFORE_A_SUBJECT = frozenset(("do", "does", "don", "have", "has", "had", "may", "might", "must"))
"""They ask before one of `_SUBJECTS`; otherwise they may tell somebody to do something."""
_SUBJECTS = frozenset(
    ("i", "you", "we", "they", "he", "she", "it", "my", "your", "our", "their", "this", "that")
)
_GREETINGS = frozenset(
    ("please", "pls", "hi", "hello", "hey", "thanks", "ok", "and", "so", "bitte", "hallo", ",")
)
_WORDS_ANYWHERE = """
    क्या कौन कब कहाँ कहां कैसे क्यों कितना कितने कितनी কি কে কখন কোথায় কেন কীভাবে
    என்ன யார் எப்போது எங்கே எப்படி ஏன் 무엇 뭐 누구 언제 어디 어디서 어떻게 왜
"""
_ANYWHERE = frozenset(_WORDS_ANYWHERE.split())
"""Words of a question wherever they stand in it."""
_WITHIN = re.compile(
    r"什么|什麼|谁|誰|哪|怎|为何|多少|几|吗|嗎|何|いつ|どこ|どう|なぜ|どれ|か$|까$|나요$"
    r"|อะไร|ใคร|เมื่อไ|ที่ไหน|ทำไม|อย่างไร|ไหม"
)
"""The same without spaces between words, and endings of verbs."""


_BEGINNING_CHARACTERS = 40
"""Where a text in ASCII asks, if it does, for speed's sake."""


def asks_by_itself(sentence: str) -> bool:
    """Whether a sentence without its mark is a question, too."""
    beginning = sentence[:_BEGINNING_CHARACTERS] if sentence.isascii() else sentence
    words = list(dropwhile(_GREETINGS.__contains__, tokens(beginning.lower())))
    first, second = (*(word.partition("'")[0] for word in words[:2]), "", "")[:2]
    if first in _FIRST:
        return True
    if first in _BEFORE_A_SUBJECT:
        return second in _SUBJECTS
    if sentence.isascii():
        return False
    return not _ANYWHERE.isdisjoint(words) or _WITHIN.search(sentence) is not None
