"""Census-Income (KDD), UCI: headerless files, values separated by a comma and a blank, 42 columns;
the labels are derived here.

Source: UCI Machine Learning Repository, Census-Income (KDD) Data Set, `census-income.names`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from automtl.data.raw.sources import Piece, Reading, read_pieces
from automtl.data.spec.dataset import Csv
from automtl.data.values.text_columns import map_words, strip_words
from automtl.errors import DataError
from automtl.strict import nearest

COLUMNS = (
    "age class_worker det_ind_code det_occ_code education wage_per_hour hs_college marital_stat "
    "major_ind_code major_occ_code race "
    "hisp_origin sex union_member unemp_reason full_or_part_emp capital_gains capital_losses "
    "stock_dividends tax_filer_stat "
    "region_prev_res state_prev_res det_hh_fam_stat det_hh_summ instance_weight mig_chg_msa "
    "mig_chg_reg mig_move_reg mig_same "
    "mig_prev_sunbelt num_emp fam_under_18 country_father country_mother country_self "
    "citizenship own_or_self vet_question "
    "vet_benefits weeks_worked year income_50k"
).split()
DEGREES = ("Bachelors degree", "Masters degree", "Prof school degree", "Doctorate degree")
INCOMES = {"- 50000.": "0", "50000+.": "1"}
DERIVED: dict[str, tuple[str, Callable[[str], str]]] = {
    "income": ("income_50k", lambda word: INCOMES.get(word, word)),
    "never_married": ("marital_stat", lambda word: str(int(word == "Never married"))),
    "college": ("education", lambda word: str(int(word.startswith(DEGREES)))),
}


def read_census_income(
    paths: Sequence[Path], readings: Mapping[str, Reading], csv: Csv, say: Callable[[str], None]
) -> Iterator[Piece]:
    """The rows of the publisher's files; `income`, `never_married`, `college` are columns of "0"
    and "1".

    Raises:
        DataError: an unknown column is asked for, or a file is not of this layout.
    """
    for name in readings:
        if name not in COLUMNS and name not in DERIVED:
            raise DataError(
                f"census_income: column '{name}'",
                "must be one of the data set's",
                name,
                nearest(name, [*COLUMNS, *DERIVED]),
            )
    raw: dict[str, Reading] = {
        (DERIVED[name][0] if name in DERIVED else name): reading
        for name, reading in readings.items()
    }
    for piece in read_pieces(paths, raw, Csv(columns=tuple(COLUMNS))):
        columns = [_column(piece, name) for name in readings]
        yield piece._replace(batch=pa.RecordBatch.from_arrays(columns, names=list(readings)))


def _column(piece: Piece, name: str) -> pa.Array:
    source, label = DERIVED.get(name, (name, None))
    column = piece.batch.column(source)
    if not pa.types.is_dictionary(column.type):
        return column
    column = strip_words(column)
    if label is None:
        return column
    words = column.dictionary.to_pylist()
    if source == "income_50k" and not INCOMES.keys() >= set(words):
        wrong = next(word for word in words if word not in INCOMES)
        rule = f"must have {' or '.join(INCOMES)} in the last of its {len(COLUMNS)} columns"
        raise DataError(piece.path, rule, repr(wrong), "is this a Census-Income (KDD) file?")
    return map_words(column, pa.array(map(label, words), pa.string()))
