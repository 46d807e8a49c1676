"""What every test shares: the option for the long runs, and a kernel cache of the session's own."""

import os

import pytest


def pytest_addoption(parser):
    parser.addoption("--rigorous", action="store_true", help="also run the tests marked rigorous: minutes to hours")


def pytest_configure(config):
    config.addinivalue_line("markers", "rigorous: takes minutes or more, runs only with --rigorous")


def pytest_collection_modifyitems(config, items):
    if not config.getoption("--rigorous"):
        long = [item for item in items if "rigorous" in item.keywords]
        items[:] = [item for item in items if "rigorous" not in item.keywords]
        config.hook.pytest_deselected(items=long)


@pytest.fixture(scope="session", autouse=True)
def kernel_cache(tmp_path_factory):
    """Kernels of this session are compiled into a folder of its own, never the user's."""
    before = os.environ.get("SYMGRAD_CACHE_DIR")
    folder = tmp_path_factory.mktemp("kernels")
    folder.chmod(0o700)
    os.environ["SYMGRAD_CACHE_DIR"] = str(folder)
    yield folder
    if before is None:
        del os.environ["SYMGRAD_CACHE_DIR"]
    else:
        os.environ["SYMGRAD_CACHE_DIR"] = before
