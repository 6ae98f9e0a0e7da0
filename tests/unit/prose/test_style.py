import pytest

from tuneloop.prose.style import REGISTERS, register_of, sentence_ratio, sentence_words

FORMAL = {
    "en": "Dear customer, we regret that the parcel is late and would like to inform you of it.",
    "de": "Vielen Dank. Wir haben das Paket heute an Sie verschickt, und es ist für Ihre Filiale.",
    "fr": "Nous vous prions de nous dire où est le colis, et nous serons à votre disposition.",
    "es": "Le agradecemos que nos escriba. El paquete es para usted y está en la oficina.",
    "it": "Gentile cliente, il pacco è nella nostra sede e le mandiamo una conferma per Lei.",
    "pt": "Prezado cliente, a encomenda é para o senhor e está na nossa loja com o recibo.",
    "nl": "Geachte klant, wij hebben uw pakket ontvangen en het is morgen voor u klaar.",
    "pl": "Szanowna Pani, paczka jest w sklepie i czeka na Panią, jak to jest w umowie.",
    "ru": "Уважаемый клиент, посылка для вас уже на складе, и мы ждем вас в магазине.",
}
INFORMAL = {
    "en": "Hey, I'm sorry that it is late. We'll send it to you and you don't have to pay.",
    "de": "Hallo, dein Paket ist heute da und du kannst es mit dem Beleg für dich abholen.",
    "fr": "Salut, le colis est là et tu peux le prendre avec ton reçu quand tu es dans le coin.",
    "es": "Hola, el paquete es para ti y está en la tienda, te lo damos con tu recibo.",
    "it": "Ciao, il pacco è per te e non costa nulla: ti mandiamo una conferma con il tuo nome.",
    "pt": "Oi, a encomenda é para ti e está na loja com o teu recibo, quando quiseres.",
    "nl": "Hoi, je pakket is er en je kan het met jouw bon ophalen, het is niet ver.",
    "pl": "Cześć, paczka jest dla ciebie i czeka na ciebie w sklepie, jak to jest w umowie.",
    "ru": "Привет, посылка для тебя уже на складе, и ты можешь взять ее с собой, как я.",
}


@pytest.mark.parametrize("language", REGISTERS)
def test_each_language_is_told_by_how_it_addresses_people(language: str) -> None:
    assert register_of(FORMAL[language]) == "formal"
    assert register_of(INFORMAL[language]) == "informal"


def test_what_speaks_to_nobody_has_no_register() -> None:
    assert (
        register_of("The patient has had a dry cough for three weeks and is on medicine.") is None
    )
    assert register_of("病人已经咳嗽三个星期了。") is None


def test_a_german_she_at_the_beginning_is_no_address() -> None:
    assert register_of("Sie ist heute nicht da. Sie hat das Paket mit dem Auto geholt.") is None


def test_sentences_end_at_their_sign_and_not_at_a_title_or_a_number() -> None:
    assert sentence_words("Dr. Kumar gave 2.5 mg. She sleeps well now.") == 4.5
    assert sentence_words("One two three\nfour") == 2
    assert sentence_words("今日は晴れです。明日は雨です。") == 5.5  # pairs of characters
    assert sentence_words("  ") is None


def test_sentences_are_compared_with_the_references() -> None:
    assert sentence_ratio("One two. Three four.", "One two three four.") == 0.5
    assert sentence_ratio("", "One.") is None
