"""Specs of runs: what older files say still means what it says now."""

import pytest

from lori_core.config import parse
from lori_core.errors import ConfigError
from lori_core.study.specs import ContinualJob, MergeTrialJob, StudyConfig

SPECS = {StudyConfig: "{{{}}}", ContinualJob: '{{"tasks": ["math", "code"], {}}}'}


@pytest.mark.parametrize("spec", SPECS)
def test_a_sequence_goes_on_at_the_whole_rate_unless_told_otherwise_and_null_of_older_specs_means_that(spec):
    said = {"whole": '"later_rate": 1', "null": '"later_rate": null', "part": '"later_rate": 0.3', "none": '"seed": 0'}
    if spec is StudyConfig:
        said["none"] = '"seeds": [0]'
    rates = {name: parse(spec, SPECS[spec].format(text)).later_rate for name, text in said.items()}
    assert rates == {"whole": 1.0, "null": 1.0, "part": 0.3, "none": 1.0}
    assert parse(spec, SPECS[spec].format(said["null"])).later_masks == "continued"


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("field", ['"later_rate": 0', '"later_rate": 1.5', '"later_masks": "redrawn"'])
def test_what_no_sequence_can_be_learned_by_is_refused(spec, field):
    with pytest.raises(ConfigError) as caught:
        parse(spec, SPECS[spec].format(field))
    assert caught.value.key == "bad_field"


@pytest.mark.parametrize("seeds", ["0, -1", "0, 0", "2, 0, 2"])
def test_a_study_takes_each_seed_once_and_none_below_zero(seeds):
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, f'{{"seeds": [{seeds}]}}')
    assert caught.value.key == ("bad_field" if "-" in seeds else "same_seed_twice")
    assert caught.value.in_language("ja") != str(caught.value)
    assert parse(StudyConfig, '{"seeds": [2, 0]}').seeds == (2, 0)


def test_a_method_that_a_study_is_asked_for_twice_is_carried_out_once():
    found = parse(StudyConfig, '{"methods": ["lori_s", "lora", "lori_s"], "merge_methods": ["ties", "concat", "ties"]}')
    assert found.methods == ("lori_s", "lora") and found.merge_methods == ("ties", "concat")


@pytest.mark.parametrize("weights", ["", "NaN", "0.5, Infinity"])
def test_a_merge_whose_weights_are_none_or_no_numbers_is_refused(weights):
    with pytest.raises(ConfigError) as caught:
        parse(StudyConfig, f'{{"merge_weights": [{weights}]}}')
    assert caught.value.key == "bad_field"
    merge = '"merge": {"adapters": ["x"], "weights": [1]}, "tasks": ["math"]'
    with pytest.raises(ConfigError) as caught:
        parse(MergeTrialJob, f'{{{merge}, "scales": [{weights}]}}')
    assert caught.value.key == "bad_field"
