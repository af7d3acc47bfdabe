"""A web service for an exported ONNX folder: rows in, a probability, a value, or the classes'
probabilities in the order of schema.json, per task out.

    AUTOMTL_MODEL=served uvicorn serve:app

It needs fastapi, uvicorn, onnxruntime and numpy, and the folder that `automtl export` wrote.
"""

import importlib.util
import os
from pathlib import Path
from typing import Any

import onnxruntime
from fastapi import FastAPI, HTTPException

MODEL = Path(os.environ["AUTOMTL_MODEL"])
MOST_ROWS = 10_000

spec = importlib.util.spec_from_file_location("encode", MODEL / "encode.py")
encode = importlib.util.module_from_spec(spec)
spec.loader.exec_module(encode)

encoder = encode.Encoder(MODEL)
session = onnxruntime.InferenceSession(MODEL / "model.onnx")
names = [output.name for output in session.get_outputs()]
app = FastAPI(title="automtl model")


@app.post("/score")
def score(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """One answer for each row."""
    if not 1 <= len(rows) <= MOST_ROWS:
        raise HTTPException(422, f"must be 1 to {MOST_ROWS} rows, got {len(rows)}")
    try:
        arrays = encoder(rows)
    except (ValueError, TypeError, OverflowError) as error:
        raise HTTPException(422, str(error)) from None
    outputs = [output.tolist() for output in session.run(names, arrays)]
    return [dict(zip(names, answer, strict=True)) for answer in zip(*outputs, strict=True)]
