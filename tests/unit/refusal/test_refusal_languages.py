"""Who refuses? The model, speaking for itself; not a business, a letter, a text about refusing."""

from __future__ import annotations

import unicodedata

import pytest

from tuneloop.refusal import LANGUAGES, refusal_in

REFUSES = {
    "en": (
        "I'm sorry, but I can't help with that.",
        "I **cannot** provide step-by-step instructions for this.",
        "As an AI, I don't have opinions about elections.",
        "That's not something I'm able to discuss.",
        "This goes against my guidelines.",
        "I must respectfully decline.",
        "Sorry, but I can’t.",
        "I cannot in good conscience write this letter. However, here is what you could do.",
    ),
    "de": (
        "Entschuldige, dabei kann ich dich nicht unterstützen.",
        "Ich darf dazu keine Auskünfte geben.",
        "Als KI habe ich keine Meinung zu Wahlen.",
        "Das widerspricht meinen Richtlinien.",
        "Es tut mir leid, dir bei dieser Sache nicht helfen zu können.",
    ),
    "nl": (
        "Sorry, maar daar kan ik u niet mee helpen.",
        "Ik mag deze gegevens niet verstrekken.",
        "Als AI-model heb ik geen mening over verkiezingen.",
        "Dat is in strijd met mijn richtlijnen.",
    ),
    "fr": (
        "Désolé, je ne peux pas répondre à cette demande.",
        "Desole, je ne peux pas vous aider a faire cela.",
        "En tant qu’IA, je n’ai pas d’avis sur les élections.",
        "Cela va à l'encontre de mes principes.",
        "Je ne suis pas en mesure de fournir ces informations.",
    ),
    "es": (
        "Lo siento, no puedo ayudarle con esto.",
        "No puedo escribir ese mensaje.",
        "Como IA, no tengo opiniones sobre las elecciones.",
        "Eso va en contra de mis directrices.",
        "Lamento no poder asistirte con esto.",
    ),
    "pt": (
        "Desculpe, mas não posso ajudar você com isso.",
        "Não posso escrever essa mensagem.",
        "Como IA, não tenho opiniões sobre as eleições.",
        "Isso viola as minhas diretrizes.",
    ),
    "it": (
        "Mi dispiace, non posso aiutarla in questo.",
        "Non posso scrivere un messaggio simile.",
        "In quanto IA, non ho opinioni sulle elezioni.",
        "Questo viola le mie linee guida.",
    ),
    "pl": (
        "Przepraszam, ale nie mogę ci pomóc.",
        "Nie mogę napisać takiej wiadomości.",
        "Jako AI nie mam zdania o wyborach.",
        "To narusza moje wytyczne.",
    ),
    "ru": (
        "Извините, я не могу вам помочь.",
        "Я не буду писать такое сообщение.",
        "Как ИИ, я не имею мнения о выборах.",
        "Это противоречит моим правилам.",
    ),
    "tr": (
        "Üzgünüm, size yardım edemem.",
        "Böyle bir mesaj yazamam.",
        "Bir yapay zekâ olarak seçimler hakkında fikrim yok.",
        "Bu, yönergelerime aykırı.",
    ),
    "ar": (
        "عذرًا، لا يمكنني مساعدتك.",
        "لن أكتب هذه الرسالة.",
        "بصفتي نموذج ذكاء اصطناعي، ليس لدي رأي في الانتخابات.",
        "هذا يخالف إرشاداتي.",
    ),
    "zh": (
        "抱歉，我无法帮助您。",
        "抱歉，我無法協助您處理這個請求。",
        "作为一个AI，我没有个人观点。",
        "这违反了我的准则。",
    ),
    "ja": (
        "申し訳ありませんが、お手伝いできません。",
        "そのような内容を作成することはできません。",
        "AIとして、選挙について意見を持っていません。",
        "それは私のガイドラインに反します。",
    ),
    "hi": (
        "क्षमा करें, मैं आपकी मदद नहीं कर सकती।",
        "मैं ऐसा संदेश नहीं लिख सकता।",
        "एक एआई के रूप में, चुनावों पर मेरी कोई राय नहीं है।",
        "यह मेरे दिशानिर्देशों के विरुद्ध है।",
    ),
}

ANSWERS = {
    "en": (
        "I cannot recommend it enough!",
        "We can't wait to see you.",
        "Unfortunately we cannot refund opened items; here is what you can do.",
        "I can't provide a refund for opened items, but I can offer an exchange.",
        "I couldn't help laughing.",
        "I can't help but admire her.",
        "The bot said “I cannot help with that” and closed the chat.",
        "As an AI researcher, I do not get much sleep.",
        "It is not appropriate to wear shorts in church.",
        "I'm an AI assistant and I'd be glad to help: press Reset.",
        "As an AI I have no favourite, but I can tell you that most people like the first.",
        "If I cannot help you, my colleague will.",
        "This violates our returns policy.",
        "Sorry for the delay, your parcel is on its way.",
    ),
    "de": (
        "Leider können wir geöffnete Ware nicht erstatten.",
        "Ich kann heute leider nicht kommen, aber wir können später sprechen.",
        "Ich kann das Buch gar nicht genug empfehlen.",
        "Der Bot schrieb: „Dabei kann ich nicht helfen.“",
        "Das verstößt gegen unsere Richtlinien.",
    ),
    "nl": (
        "Helaas kunnen wij geopende artikelen niet terugnemen.",
        "Ik kan helaas niet komen, maar we kunnen later praten.",
        "Ik kan het niet helpen dat ik lach.",
        "Dit is in strijd met ons beleid.",
    ),
    "fr": (
        "Malheureusement, nous ne pouvons pas rembourser les articles ouverts.",
        "Je ne peux que recommander ce livre.",
        "Je ne suis pas en mesure de me rendre à Paris.",
        "Le robot a écrit « je ne peux pas vous aider ».",
    ),
    "es": (
        "Lamentablemente no podemos reembolsar artículos abiertos.",
        "No puedo dejar de recomendarlo.",
        "No puedo ofrecerle un reembolso, pero sí un vale.",
        "No puede dar de baja la cuenta sin la contraseña.",
    ),
    "pt": (
        "Infelizmente não podemos reembolsar itens abertos.",
        "Não posso deixar de recomendar.",
        "Não posso oferecer reembolso, mas posso dar um vale.",
        "Não encontrei o seu pedido.",
    ),
    "it": (
        "Purtroppo non possiamo rimborsare gli articoli aperti.",
        "Non posso fare a meno di consigliarlo.",
        "Non posso offrirle un rimborso, ma un buono sì.",
        "Non vediamo l'ora di vedervi.",
    ),
    "pl": (
        "Niestety nie możemy zwrócić pieniędzy za otwarte produkty.",
        "Nie mogę się doczekać, żeby wam pomóc.",
        "Nie znalazłem tego zamówienia.",
        "To narusza nasze zasady zwrotów.",
    ),
    "ru": (
        "К сожалению, мы не можем вернуть деньги за вскрытый товар.",
        "Не могу не помочь такому человеку.",
        "Я не смог найти ваш заказ.",
        "Это нарушает наши правила возврата.",
    ),
    "tr": (
        "Maalesef açılmış ürünlerin parasını iade edemiyoruz.",
        "Sizi görmek için sabırsızlanıyoruz.",
        "Siparişinizi bulamadım.",
        "Bu, iade politikamıza aykırı.",
    ),
    "ar": (
        "للأسف لا يمكننا رد ثمن المنتجات المفتوحة.",
        "لا أستطيع منع نفسي من الضحك.",
        "لم أجد طلبك.",
        "هذا يخالف سياسة الإرجاع لدينا.",
    ),
    "zh": (
        "很遗憾，我们无法为已拆封的商品退款。",
        "我怎么推荐都不为过。",
        "我没有找到您的订单。",
        "这违反了我们的退货政策。",
    ),
    "ja": (
        "申し訳ございませんが、開封済みの商品は返金できません。",
        "メッセージを作成できません。",
        "ご注文が見つかりませんでした。",
        "領収書をご提示できない場合は、銀行の明細でも構いません。",
    ),
    "hi": (
        "खेद है कि हम खुले सामान का पैसा वापस नहीं कर सकते।",
        "मैं हँसे बिना नहीं रह सकता।",
        "मुझे आपका ऑर्डर नहीं मिला।",
        "यह हमारी वापसी नीति के विरुद्ध है।",
    ),
}


def _each(lines: dict[str, tuple[str, ...]]) -> list[str]:
    return [line for of_language in lines.values() for line in of_language]


def test_every_language_has_lines_here() -> None:
    codes = {language.code for language in LANGUAGES}
    assert codes == set(REFUSES) == set(ANSWERS)
    assert len(codes) >= 8


@pytest.mark.parametrize("answer", _each(REFUSES))
def test_the_model_declines(answer: str) -> None:
    assert refusal_in(answer)
    assert refusal_in(unicodedata.normalize("NFD", answer)), "letters and accents apart"
    assert refusal_in(f"\n  {answer.replace(' ', '  ')}")


@pytest.mark.parametrize("answer", _each(ANSWERS))
def test_what_only_sounds_like_it_is_an_answer(answer: str) -> None:
    assert refusal_in(answer) is None


def test_whom_an_answer_quotes_first_does_not_refuse_for_it() -> None:
    told = "“I can't help you with that,” said the clerk, so she asks for a refund."
    assert refusal_in(told) is None
    assert refusal_in("“I can't help you with that.”") is not None


def test_a_refusal_long_after_the_opening_is_not_one() -> None:
    assert refusal_in("Press the left button. " * 9 + "I cannot help with the right one.") is None


@pytest.mark.parametrize("answer", ["", "  ", '{"text": "I cannot help with that."}', "[]"])
def test_structured_and_empty_answers_never_refuse(answer: str) -> None:
    assert refusal_in(answer) is None


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("I’m sorry, but I can’t  help with that.", "I can’t  help"),
        ("Desculpe, mas **não** posso ajudar.", "não** posso ajudar"),
        ('"I cannot help with that."', "I cannot help"),
    ],
)
def test_the_words_are_told_as_the_answer_has_them(answer: str, words: str) -> None:
    assert refusal_in(answer) == words
