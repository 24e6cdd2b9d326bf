"""Start of the web application: `python -m app` serves it to this machine, or, where that is said, to others."""

import os
import socket
from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer
import uvicorn

from app.passwords import Passwords
from lori_core.errors import LoRIError
from lori_core.translate import translate

LOOPBACK = ["localhost", "127.0.0.1", "[::1]"]


def main(
    store: Annotated[Path, typer.Option(help="Folder of everything: runs, adapters, uploads, exports.")] = Path("lab"),
    host: Annotated[str, typer.Option(help="Address to listen at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any that is free.")] = 7860,
    auth_file: Annotated[
        Path | None,
        typer.Option(help="Names and passwords of those who may come in: python -m app.passwords FILE NAME."),
    ] = None,
    bases: Annotated[
        list[Path] | None,
        typer.Option(help="Folder whose models may be bases; repeat it. Default: the home, if nobody else comes in."),
    ] = None,
    no_auth: Annotated[
        bool, typer.Option("--no-auth", help="Serve everybody who can reach it, with no password and no token.")
    ] = False,
) -> None:
    """Open the lab."""
    if not _is_loopback(host) and not no_auth and auth_file is None:
        typer.echo(translate("app.wide_host", host=host), err=True)
        raise typer.Exit(2)
    try:
        passwords = Passwords(auth_file) if auth_file is not None else None
    except LoRIError as error:
        typer.echo(str(error), err=True)
        raise typer.Exit(2) from None
    folder = store.resolve()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # these two are read when gradio is imported
    os.environ["GRADIO_TEMP_DIR"] = str(folder / ".uploads")

    from app.entry_token import kept_token
    from app.jobs import Jobs
    from app.lab import Lab
    from app.main import application
    from app.uploads import keep_clean

    keep_clean(folder / ".uploads")
    jobs = Jobs()
    try:
        alone = passwords is None and not no_auth
        lab = Lab(folder, jobs, passwords is not None, tuple(bases or ([Path.home()] if alone else [])))
        os.chdir(lab.exports)  # gradio serves files of the working directory
        token = kept_token(folder) if alone else None
        web = application(lab, LOOPBACK if _is_loopback(host) else None, passwords, token)
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family) as listening:
            shown = f"[{host}]" if ":" in host else host
            address = f"http://{shown}:{listening.getsockname()[1]}"
            typer.echo(f"{address}/?token={token}" if token else address)
            uvicorn.Server(uvicorn.Config(web, log_level="warning")).run(sockets=[listening])
    finally:
        jobs.close()


def _is_loopback(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


if __name__ == "__main__":
    typer.run(main)
