"""Daily data: a model of new rows that begins with the embeddings of an older one.

The new data's vocabularies grow out of the older run's: known ids keep their numbers, new ones
follow. Embedding rows of known ids start as the older model left them; new rows, and all weights
that are no embeddings, start fresh; scalers are the new rows'.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from automtl.data.prepare import placed
from automtl.data.spec.dataset import default_data_dir, load_dataset
from automtl.data.store.encoding import checksum
from automtl.errors import ConfigError
from automtl.files import write_json
from automtl.layers.embedding import InputLayer
from automtl.phases.finished.open import load_net, session_of
from automtl.phases.run.reporter import Reporter, Silent
from automtl.phases.run.session import Session
from automtl.runs.run_dir import PhaseDir, one_phase


@dataclass(frozen=True)
class OlderModel:
    """An older model, and new data whose vocabularies grow out of its own.

    Args:
        folder: its retrain folder.
        session: its data.
        net: its weights.
        data: path of the new data set's YAML, made to grow.
    """

    folder: PhaseDir
    session: Session
    net: nn.Module
    data: Path

    @property
    def architecture(self) -> str:
        """Path of its architecture."""
        return str(self.folder.architecture)

    def carry(self, net: nn.Module, session: Session) -> None:
        """Give a fresh network the older one's embedding rows, by field.

        Raises:
            ConfigError: a field's embedding has another width.
        """
        old, new = self.session.schema, session.schema
        names = {field.name: i for i, field in enumerate(old.id_fields)}
        pairs = zip(_layers(self.net), _layers(net), strict=True)
        counts: dict[str, tuple[int, int]] = {}
        for before, after in pairs:
            for i, field in enumerate(new.id_fields):
                if field.name not in names or field.owner != field.name:
                    continue
                rows, fresh_rows = before.rows_of(names[field.name]), after.rows_of(i)
                if (
                    rows.shape[1] != fresh_rows.shape[1]
                    or len(rows) > len(fresh_rows)
                    or (field.hash_buckets and len(rows) != len(fresh_rows))
                ):
                    rule = "must have the older model's width and hash_buckets"
                    raise ConfigError(
                        f"feature '{field.name}'",
                        rule,
                        f"{tuple(fresh_rows.shape)} for {tuple(rows.shape)}",
                    )
                with torch.no_grad():
                    fresh_rows[: len(rows)] = rows.to(fresh_rows)
                counts[field.name] = (len(rows), len(fresh_rows) - len(rows))
        counted = ", ".join(
            f"{name} {known:,} (+{fresh:,})" for name, (known, fresh) in counts.items()
        )
        session.reporter.say(
            f"embedding rows kept (and new) from {self.folder.path}: {counted}; "
            "all else starts fresh"
        )


def _layers(net: nn.Module) -> list[InputLayer]:
    return [module for module in net.modules() if isinstance(module, InputLayer)]


def open_older_model(
    run: Path, data: str, *, data_dir: Path | None = None, reporter: Reporter | None = None
) -> OlderModel:
    """Open an older model, and write down the new data set as one that grows out of its
    vocabularies.

    Args:
        run: the older retrain's folder, or a run with one.
        data: the new data set's name or YAML; its features are the older one's.
        data_dir: where raw and prepared data are kept.
        reporter: told how it goes on.

    Raises:
        ArtifactError: the run holds no finished retrain, or its data changed since.
        ConfigError: `data` is no data set.
    """
    folder = one_phase(run, "retrain")
    session = session_of(folder, "cpu", reporter or Silent())
    home = data_dir or default_data_dir()
    config = load_dataset(data)
    if not Path(data).is_file():
        config = placed(config, home)
    plain = {
        **config.model_dump(mode="json", exclude_defaults=True),
        "vocabularies_from": str(session.encoding.path.absolute()),
    }
    path = home.absolute() / "grown" / f"{config.name}-{checksum(plain)[:12]}.yaml"
    write_json(path, plain)  # JSON is YAML
    return OlderModel(folder, session, load_net(folder, session), path)
