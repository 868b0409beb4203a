"""Many hosts, one dataset: `python -m tests.demo.fleet FOLDER`, which must be empty."""

from __future__ import annotations

import json
import os
import shutil
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

from tests.demo.__main__ import GOLDEN, NEW, OLD, Show
from tests.support.cli import Cli

HOSTS = {"build-1/kernel": slice(0, 24), "build-2/kernel": slice(24, 46), "build-3/kernel": slice(46, None)}
EDITED = "build-3/kernel"
END = """
Kept: {folder}
  {store}   what the hosts pushed: whole indexes, and what each says of itself
  {dataset}   one dataset; its README.md says what is in it
  {page}   its audit

On each of your hosts, in the repo: `fleet: {{url: …, source: host/repo}}` in .cyntra/collectord.yaml
  collectord fleet push          once by hand; from then on the daemon does it every night
docs/fleet.md has the rest."""


def main(folder: Path) -> int:
    """The whole demo; 1 where something is not as it must be."""
    show, store, to = Show(), folder / "store", folder / "datasets"
    show.say("Three hosts run kernels on other issues of one project; on the third somebody edited")
    show.say(f"  .cyntra/config.yaml: claude is to use {NEW}. Each pushes its index to one folder:")
    for name, part in HOSTS.items():
        cli = _host(folder / name.partition("/")[0], store, name, part)
        cli.ok("ingest")
        show.say(f"$ collectord fleet push        on {name}: {cli.ok('fleet', 'push').strip()}")
    anywhere = Cli(folder, folder)
    url = ("--url", str(store))
    _told(show, anywhere, "fleet", "list", *url)
    _told(show, anywhere, "fleet", "environments", *url)
    show.say(f"$ collectord fleet export --all --workers 2 --url {store} --to {to}")
    export = ("fleet", "export", *url, "--to", str(to), "--all", "--workers", "2", "--json")
    made = json.loads(anywhere.ok(*export))
    rows = ", ".join(f"{one['source']} {one['rows']}" for one in made["sources"])
    show.say(f"  {made['example_count']} rows ({rows}), dataset_hash {made['dataset_hash']}")
    _told(show, anywhere, "fleet", "verify", str(to), "--rebuild", *url)
    os.environ |= {"HF_HOME": str(folder / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    page = folder / "audit.html"
    _told(show, anywhere, "fleet", "audit", str(to), "--html", str(page), least=5)
    good = all(_loads(show, name, read, made) for name, read in READERS.items())
    print(END.format(folder=folder, store=store, dataset=made["url"], page=page))
    return 0 if good else 1


def _host(repo: Path, store: Path, name: str, part: slice) -> Cli:
    """A repo with some of the issues of the golden run, which pushes."""
    with tarfile.open(GOLDEN / "kernel-run.tar.gz") as tar:
        tar.extractall(repo, filter="tar")
    archives = repo / ".cyntra/archives"
    names = sorted(path.name for path in archives.iterdir())
    for other in set(names) - set(names[part]):
        shutil.rmtree(archives / other)
    if name == EDITED:
        for path in (repo / ".cyntra/config.yaml", *archives.glob("*/*.json")):
            path.write_text(path.read_text().replace(OLD, NEW))
    settings = f"fleet: {{url: {store}, source: {name}}}\nsettle: {{min_age: 0}}\n"
    (repo / ".cyntra/collectord.yaml").write_text(settings)
    return Cli(repo, repo.parent)


def _told(show: Show, cli: Cli, *command: str, least: int = 8) -> None:
    show.say(f"$ collectord {' '.join(command)}")
    done = cli(*command, repo=False)
    if done.returncode:
        raise SystemExit(done.stderr)
    for line in done.stdout.expandtabs(2).splitlines()[:least]:
        print(f"           {line}")


def _with_datasets(folder: str) -> int:
    import datasets

    datasets.disable_progress_bars()
    return sum(part.num_rows for part in datasets.load_dataset(folder).values())


def _with_duckdb(folder: str) -> int:
    import duckdb

    found = duckdb.sql(f"SELECT run_id FROM '{folder}/data/*.parquet'")
    return len(found.fetchall()) if found else 0


def _with_dask(folder: str) -> int:
    import dask.dataframe

    return len(dask.dataframe.read_parquet(f"{folder}/data/*.parquet"))


READERS: dict[str, Callable[[str], int]] = {
    "datasets.load_dataset(DIR)": _with_datasets,
    "duckdb.sql(\"SELECT … FROM 'DIR/data/*.parquet'\")": _with_duckdb,
    'dask.dataframe.read_parquet("DIR/data/*.parquet")': _with_dask,
}


def _loads(show: Show, name: str, read: Callable[[str], int], made: dict[str, object]) -> bool:
    rows = read(str(made["url"]))
    is_good = rows == made["example_count"]
    show.say(f"{name}: {rows} rows{'' if is_good else ', which is NOT what was published'}")
    return is_good


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
