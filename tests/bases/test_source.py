"""Names that lead to no base are refused in words, whatever is wrong with them."""

import pytest

from lori_core.bases.source import checked_source, source_of
from lori_core.errors import ModelError


@pytest.mark.parametrize(
    "name",
    ["Qwen/Qwen2.5-", "org/model.", "a--b/c", "org/model-", "o" * 97, "org/" + "y" * 200],
    ids=lambda name: name[:14],
)
def test_a_name_that_the_hub_gives_no_model_is_refused(name):
    with pytest.raises(ModelError) as caught:
        checked_source(name)
    assert caught.value.key == "hub_not_loadable"


@pytest.mark.parametrize("name", ["x" * 300, "~nobody-here/model", "m" * 300 + ".gguf"], ids=lambda name: name[:14])
def test_a_name_that_no_disk_has_is_refused(name):
    for leads in (source_of, checked_source):
        with pytest.raises(ModelError) as caught:
            leads(name)
        assert caught.value.key == "no_model_folder"
