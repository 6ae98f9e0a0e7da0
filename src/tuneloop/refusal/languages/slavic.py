"""Polish and Russian."""

from __future__ import annotations

from tuneloop.refusal.phrases import Phrases

_HELP_PL = (
    r"\b(?:pomóc|pomagać|udziel\w+|odpowiedzieć|odpowiadać|poda(?:ć|wać)|przekaza\w+|udostępni\w+|"
    r"ujawni\w+|dostarcz\w+|zapewnić|stworzyć|tworzyć|wygenerować|generować|napisać|pisać|"
    r"spełni\w+|zrealizować|wykonać (?:tego|tej|takie|twoje|pa)|(?:tego|czegoś takiego) "
    r"(?:z)?robić|uczestniczyć|brać udział\w*|wspierać|promować|zachęcać|rozmawiać|dyskutować|"
    r"omawiać|kontynuować|spekulować|stawiać diagnoz|wyrażać|doradz\w+|komentować|wyjaśnić, jak)"
)
_MACHINE_PL = (
    r"(?:ai|si|sztuczn\w+ inteligencj\w+|(?:duż\w+ )?model\w* językow\w+|(?:wirtualn\w+ |"
    r"cyfrow\w+ )?asystent\w*(?: ai)?|chatbot\w*)\b"
)
_RULES_PL = (
    r"mo(?:je|imi|ich|im) (?:\w+ )?(?:zasad\w*|wytyczn\w*|polityk\w*|regulamin\w*|wartości\w*|"
    r"instrukcj\w*)"
)

_POLISH = Phrases(
    code="pl",
    hints=(
        "nie |nie.|odm|tylko|jedynie|sprzeczn|narusza|łamie|wykracza|wbrew",
        "mogę|będę|zamierzam|jestem|potrafię|wolno|powin|nie pomogę|nie nap|nie stw|nie wyg|"
        "nie odp|nie pod|nie wez|nie udz|mam |posiadam|muszę|odmawiam|wol|czuję|mojej|moje|"
        "moim|moich",
    ),
    cannot=(
        r"\bnie (?:mogę|będę|zamierzam|jestem w stanie|potrafię|wolno mi|powin(?:ienem|"
        rf"nam))\b~{_HELP_PL}",
        rf"{_HELP_PL}~\bnie (?:mogę|będę|zamierzam|jestem w stanie)(?! (?:się|więcej))\b",
        r"\bnie (?:pomogę|napiszę|stworzę|wygeneruję|odpowiem na|podam|wezmę udziału|udzielę)\b",
        r"\b(?:przykro mi|przepraszam),?(?: ale)? nie mogę(?=[.!,]|$)",
        r"\bnie (?:mam (?:prawa|uprawnień|możliwości|pozwolenia)|jestem upoważnion[ya])\b",
    ),
    machine=(
        rf"\bjako (?:\w+ )?{_MACHINE_PL}≈\bnie (?:mam|mogę|jestem|posiadam|powin\w+|wolno|będę)\b",
        rf"\bjestem (?:tylko|jedynie|zaledwie) (?:\w+ )?{_MACHINE_PL}",
        r"\bnie (?:mam|posiadam) (?:osobist\w+|własn\w+) (?:opinii|poglądów|zdania)",
    ),
    declines=(
        r"\bmuszę~\bodmówić\b",
        r"\bodmawiam(?:[.,!]| (?:udziału|pomocy|odpowiedzi|spełnieni|wykonania|pisania|napisania|"
        r"tworzenia|współpracy))",
        rf"\b(?:wolę|wolał[ab]\w*) nie~{_HELP_PL}",
        r"\bnie czuję się (?:komfortowo|swobodnie)\b",
        r"\bz mojej strony~(?:niestosown|nieodpowiedni|nieetyczn|niewłaściw)",
        r"\b(?:niestosown|nieodpowiedni|nieetyczn|niewłaściw)\w+~\bz mojej strony\b",
    ),
    rules=(
        rf"\b(?:sprzeczn\w+ z|narusza|łamie|niezgodn\w+ z|wbrew) {_RULES_PL}",
        r"\bwykracza(?:ją)? poza (?:moje|zakres moich) (?:możliwości|kompetencj\w+|uprawnie\w+)",
        rf"\b{_RULES_PL}~(?:nie pozwala|zabrania|zakazuj|uniemożliwia)",
    ),
    unless=(
        r"zwrot\w* pieni|zwrotu|rabat|zniżk|\bbon\b|wymian|zaproszeni",
        r"\bjeśli nie\b|\bjeżeli nie\b",
    ),
)

_HELP_RU = (
    r"\b(?:помочь|помогать|предостав(?:ить|лять)|ответить|отвечать|дать|давать|сообщ(?:ить|ать)|"
    r"рассказ(?:ать|ывать)|раскры\w+|(?:по)?делиться|созда(?:ть|вать)|(?:с)?генериров\w+|написать|"
    r"писать|составить|выполнить (?:эт|ваш|дан|так|тво|прос)|удовлетворить|(?:этого|это|так\w*) "
    r"(?:с)?делать|(?:с)?делать (?:этого|это)|участвовать|обсужд\w+|поддерж(?:ать|ивать)|поощр\w+|"
    r"способствовать|содейств\w+|продолж\w+|ставить диагноз|высказ\w+|объясн\w+, как|оказать|"
    r"консультировать|комментировать|советовать|показать|принять (?:эту|такую) роль|сказать|"
    r"обработать (?:эт|данн|ваш)|анализировать|говорить о)"
)
_MACHINE_RU = (
    r"(?:ии|ai|искусственн\w+ интеллект\w*|(?:больш\w+ )?языков\w+ модел\w+|(?:виртуальн\w+ |"
    r"цифров\w+ )?(?:помощник\w*|ассистент\w*)|чат-?бот\w*)\b"
)
_RULES_RU = (
    r"мо(?:и|им|их|ими|ей|ю|я) (?:\w+ )?(?:правил\w*|принцип\w*|политик\w*|руководств\w*|"
    r"инструкци\w*|нормам?|ценност\w*|настройк\w*)"
)

_RUSSIAN = Phrases(
    code="ru",
    hints=(
        "могу|буду|стану|умею|я |мне |мои|моей|моя|меня|отказ",
        "не |отказ|отклон|неуместно|неэтично|некорректно|недопустимо|лишь|просто|только|"
        "противореч|наруш|против|вопреки|выход",
    ),
    cannot=(
        rf"\bне (?:могу|смогу|буду|стану|умею)\b(?! не\b)~{_HELP_RU}",
        r"\bя~\bне (?:в состоянии|вправе|способ[ен]\w*|долж[ен]\w*|намерен\w*|уполномочен\w*|"
        rf"имею (?:права|возможности)|готов\w*)\b~{_HELP_RU}",
        rf"{_HELP_RU}~\bне (?:могу|смогу|буду|стану)\b",
    ),
    machine=(
        rf"\b(?:как|будучи|являясь) (?:\w+ )?{_MACHINE_RU}≈\b(?:я|у меня)\b≈\b(?:не|нет)\b",
        rf"\bя (?:всего лишь|лишь|просто|только|всего-навсего) (?:\w+ )?{_MACHINE_RU}",
        r"\b(?:не имею|у меня нет) (?:личн\w+|собственн\w+) (?:мнени|убеждени|взгляд)",
    ),
    declines=(
        r"\b(?:вынужден\w*|должен|должна|придётся|придется)~\b(?:отклонить|отказать\w*)\b",
        rf"\bотказываюсь~{_HELP_RU}",
        rf"\b(?:предпочту|предпочитаю|предпочёл бы|предпочел бы|предпочла бы) не~{_HELP_RU}",
        r"\bмне (?:некомфортно|неудобно) (?:писать|говорить|обсуждать|отвечать|помогать)",
        r"\b(?:с моей стороны|для меня|мне)~(?:неуместно|неэтично|некорректно|неправильно|"
        r"недопустимо)",
        r"\b(?:неуместно|неэтично|некорректно|недопустимо)~(?:с моей стороны|для меня)",
    ),
    rules=(
        rf"\b(?:противоречит|противоречат|нарушает|против|вопреки) {_RULES_RU}",
        r"\bвыход\w+ за (?:рамки|пределы) моих (?:возможност\w+|компетенци\w+)",
        rf"\b{_RULES_RU}~(?:не (?:позволя|разреша|допуска)|запреща)",
    ),
    unless=(
        r"возврат|скидк|\bобмен|купон|приглашени|возмещени",
        r"\bесли я\b|\bесли не\b",
    ),
)

SLAVIC = (_POLISH, _RUSSIAN)
