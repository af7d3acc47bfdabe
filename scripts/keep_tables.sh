#!/bin/sh
# Copy the tables in the making to benchmarks/, to be committed as they come; a lost folder is made again from there:
#   automtl benchmark ... --out runs/tables/NAME --rows benchmarks/NAME.parquet
# Usage: scripts/keep_tables.sh [FOLDER]     (default runs/tables)
set -eu
for folder in "${1:-runs/tables}"/*/; do
    name=$(basename "$folder")
    for end in parquet test.parquet; do
        if [ -f "$folder/table.$end" ]; then
            cp "$folder/table.$end" "benchmarks/.$name.$end.tmp"
            mv "benchmarks/.$name.$end.tmp" "benchmarks/$name.$end"
        fi
    done
done
ls -l benchmarks
