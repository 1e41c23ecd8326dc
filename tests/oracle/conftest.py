import pytest

from program_support import BRIEF, SMALL, succeed_json


@pytest.fixture(scope="session")
def study(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "new" / "folder"
    report = succeed_json("study", *SMALL, *BRIEF, "-o", folder)
    return folder, report
