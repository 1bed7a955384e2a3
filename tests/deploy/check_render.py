from pathlib import Path

import pytest
import yaml
from deploy.render import main

from deploy.chart import VALUES, Object, load_values, render


def get_key(each: Object) -> tuple[str, str]:
    return each["kind"], each["metadata"]["name"]


def test_manifests_are_the_chart_s_objects_without_its_tests(capsys: pytest.CaptureFixture[str]) -> None:
    main([str(VALUES["everything"]), "--namespace", "slack"])
    printed = [each for each in yaml.safe_load_all(capsys.readouterr().out) if each]
    expected = [each for each in render(load_values("everything")) if each["kind"] != "Pod"]
    assert sorted(printed, key=get_key) == sorted(expected, key=get_key)


def test_values_that_cannot_work_are_told_in_a_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "values.yaml"
    path.write_text("existingSecret: ''\n", encoding="utf-8")
    with pytest.raises(SystemExit) as left:
        main([str(path)])
    told = capsys.readouterr()
    assert (left.value.code, told.out) == (1, "")
    assert "existingSecret is not set" in told.err
