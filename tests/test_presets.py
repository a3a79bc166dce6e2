import subprocess
import sys

import pytest

from unimask.errors import SettingsError
from unimask.presets import PRESETS, preset


@pytest.mark.parametrize("name", PRESETS)
def test_presets_take_the_number_of_classes(name):
    assert preset(name, 7).num_classes == 7


def test_an_unknown_preset_lists_the_known():
    with pytest.raises(SettingsError, match="mask2former-swin-tiny"):
        preset("mask2former-huge", 3)


def test_presets_need_no_torch():
    code = "import sys, unimask.presets; print('torch' in sys.modules)"
    printed = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert printed.stdout.strip() == "False"
