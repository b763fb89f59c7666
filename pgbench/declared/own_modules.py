"""Files of users as modules."""

import importlib.util
import sys
from pathlib import Path
from types import ModuleType


def blank_module(path: Path) -> ModuleType:
    """A module for a user's file, in which nothing has run yet.

    It is known as ``own_`` and the file's stem, and stands in for one of that name. What lies
    beside the file can be imported.
    """
    name, file = f"own_{path.stem}", path.resolve()
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(file)
    sys.modules[name] = module  # dataclasses look themselves up there
    if (folder := str(file.parent)) not in sys.path:
        sys.path.append(folder)  # at the end: a file called torch.py must not hide PyTorch
    return module
