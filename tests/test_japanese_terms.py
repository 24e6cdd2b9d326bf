"""One Japanese word for one thing, in app, report, figures, messages and notebooks."""

import json
import re
from pathlib import Path

import jupytext
import pytest

from lori_core.assets import ASSETS
from notebooks.build import sources, teaching_sources

ROOT = Path(__file__).parents[1]

# word -> what is not written in its place
TERMS = {
    "手法": r"方式",
    "マージ係数": r"マージの重み|重み係数|最良の重み|重み 1 で",
    "クロストーク": r"混信",
    "評価用データの損失": r"保留データ|ホールドアウト損失",
    "当てずっぽう": r"くじ引き",
    "フルファインチューニング": r"全パラメーター学習",
    "活性値": r"活性(?!値|化)",
    "対照条件": r"対照(?!条件)",
    "パラメーター": r"パラメータ(?!ー)",
    "メモリー": r"メモリ(?!ー)",
    "オプティマイザー": r"オプティマイザ(?!ー)",
    "ライブラリー": r"ライブラリ(?!ー)",
    "アダプター": r"アダプタ(?!ー)",
    "フォルダー": r"フォルダ(?!ー)",
    "スパース率": r"スパース度|疎性|スパース性",
    "フットプリント": r"足跡",
    "キャリブレーション": r"較正",
    "条件付き A": r"条件(付け|づけ)た A|条件づき",
    "忘却": r"忘れ度",
    "順次学習": r"逐次",
    "ブラウザー": r"ブラウザ(?!ー)",
    "ほうが": r"の方が",
}


def texts() -> list[tuple[str, str]]:
    """(place, Japanese text) of everything that people read."""
    found = []
    for path in sorted((ASSETS / "translations" / "ja").glob("*.json")):
        found += [(key, text) for key, text in json.loads(path.read_text(encoding="utf-8")).items()]
    for source in [*sources(), *teaching_sources()]:
        for cell in jupytext.reads(source.read_text(encoding="utf-8"), fmt="py:percent").cells:
            if cell.metadata.get("lang") == "ja":
                found.append((source.name, cell.source))
    pages = [ROOT / "notebooks" / "README.md", ROOT / "README.ja.md", *sorted((ROOT / "docs").glob("*.ja.md"))]
    return [*found, *((str(page.relative_to(ROOT)), page.read_text(encoding="utf-8")) for page in pages)]


@pytest.mark.parametrize("word", TERMS)
def test_one_word_stands_for_one_thing(word: str):
    assert [place for place, text in texts() if re.search(TERMS[word], re.sub(r"`[^`]*`", "", text))] == []


def test_the_list_is_of_words_that_are_used():
    everything = "\n".join(text for _, text in texts())
    assert [word for word in TERMS if word not in everything] == []


def test_colons_between_japanese_words_are_full_width_in_notebooks():
    assert [place for place, text in texts() if place.endswith(".py") and re.search(r"[ぁ-ヿ一-鿿]: ", text)] == []


@pytest.mark.parametrize(
    "clumsy",
    [
        "失敗する対照",
        "何に触れず",
        "効くところで True",
        "若いマスク",
        "声は大きく",
        "機能の上",
        "土台を動かす",
        "分の一」",
        "高い結果です",
    ],
)
def test_no_sentence_is_translated_word_by_word(clumsy: str):
    assert [place for place, text in texts() if clumsy in text] == []
