"""What one text says of itself."""

from __future__ import annotations

import pytest

from recant.quality.texts import known_languages, language_of, languages_among, mojibake_share

TEXTS = {
    "en": "Descale the espresso machine every three months with citric acid, one spoon to a litre of water, and let it run "
    "through twice before you rinse it with clear water until the smell is gone.",
    "de": "Die Maschine wird alle drei Monate mit Zitronensäure entkalkt, ein Löffel auf einen Liter Wasser; danach läuft "
    "klares Wasser durch, bis nichts mehr zu riechen ist.",
    "fr": "La machine doit être détartrée tous les trois mois avec de l'acide citrique, une cuillère par litre d'eau, puis "
    "rincée à l'eau claire jusqu'à ce que l'odeur ait disparu.",
    "es": "La máquina se descalcifica cada tres meses con ácido cítrico, una cucharada por litro de agua, y después se enjuaga "
    "con agua limpia hasta que desaparezca el olor.",
    "ru": "Машину очищают от накипи каждые три месяца лимонной кислотой, ложка на литр воды, а затем промывают чистой водой, "
    "пока запах не исчезнет совсем.",
}
BROKEN = [
    (text.encode().decode("cp1252", "replace"), name) for name, text in TEXTS.items() if name in ("de", "fr", "es")
]


@pytest.mark.parametrize("language", TEXTS)
def test_the_language_of_prose_is_told(language: str) -> None:
    """Of a hundred letters and more."""
    assert language_of(TEXTS[language], "text") == language
    assert language in known_languages()


@pytest.mark.parametrize(
    ("text", "chunk_type"),
    [("Never.", "text"), ("1 2 3 " * 100, "text"), (TEXTS["de"], "code"), (TEXTS["de"], "table"), ("", "text")],
)
def test_where_it_cannot_be_told_there_is_none(text: str, chunk_type: str) -> None:
    """Short texts, numbers, code and tables."""
    assert language_of(text, chunk_type) is None


def test_a_collections_languages_are_those_of_a_twentieth_of_its_texts() -> None:
    """From twenty texts on."""
    assert languages_among({"en": 90, "de": 6, "fr": 4}) == {"en", "de"}
    assert languages_among({"en": 19}) == frozenset()


@pytest.mark.parametrize(("text", "name"), BROKEN, ids=[name for _, name in BROKEN])
def test_text_in_a_wrong_encoding_is_damaged(text: str, name: str) -> None:
    """UTF-8 that was read as Windows-1252; the right text isn't."""
    assert mojibake_share(text) > 0.01
    assert mojibake_share(TEXTS[name]) == 0


@pytest.mark.parametrize("text", ["plain", "café, naïve", "知識ベース", "Ã", "“quoted” – and so on…", "µ ± ² ½", ""])
def test_unusual_text_is_not_damaged(text: str) -> None:
    """Accents, other scripts, typography, and a capital letter that mojibake often has."""
    assert mojibake_share(text) == 0
