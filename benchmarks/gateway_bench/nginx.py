"""nginx in its two roles: the canned upstream, and the proxy that others are measured against."""

from __future__ import annotations

import subprocess
from pathlib import Path

from gateway_bench.canned import COMPLETION
from gateway_bench.installs import Program

_AROUND = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log error;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  tcp_nodelay on;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
{content}
}}
"""

_CANNED = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ default_type application/json; return 200 '{answer}'; }}
  }}
"""

# Buffering off: with it, nginx holds a stream's events back until a buffer is full.
_PROXY = """\
  upstream model {{
    server {upstream};
    keepalive 1024;
    keepalive_requests 1000000000;
  }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://model;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_buffering {buffering};
    }}
  }}
"""

_PLAIN_PROXY = """\
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{ proxy_pass http://{upstream}; proxy_buffering {buffering}; }}
  }}
"""


def canned_upstream(folder: Path, port: int) -> Path:
    """The configuration of an upstream that gives every request the canned completion."""
    return _write(folder, _CANNED.format(port=port, answer=COMPLETION))


def proxy(folder: Path, port: int, upstream: str, *, keepalive: bool, streams: bool) -> Path:
    """The configuration of a proxy to `upstream`, HOST:PORT.

    keepalive: connections to the upstream stay open. By default nginx makes one for each request.
    """
    form = _PROXY if keepalive else _PLAIN_PROXY
    buffering = "off" if streams else "on"
    return _write(folder, form.format(port=port, upstream=upstream, buffering=buffering))


def command(program: Program, configuration: Path) -> list[str]:
    """Starts nginx; its log goes to the configuration's folder from the first line on."""
    folder = configuration.parent
    return [
        program.path,
        "-p",
        str(folder),
        "-e",
        str(folder / "error.log"),
        "-c",
        configuration.name,
    ]


def version(program: Program) -> str:
    """As `nginx -v` has it."""
    done = subprocess.run(
        [program.path, "-v"], capture_output=True, text=True, env=program.environment, check=False
    )
    return done.stderr.strip().rpartition("/")[2]


def _write(folder: Path, content: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "nginx.conf"
    path.write_text(_AROUND.format(folder=folder, content=content))
    return path
