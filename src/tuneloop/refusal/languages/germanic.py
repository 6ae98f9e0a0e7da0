"""English, German and Dutch."""

from __future__ import annotations

from tuneloop.refusal.phrases import Phrases

_NOT_EN = r"(?:cannot|can't|cant|can not|won't|will not)(?: be able to)?"
_UNABLE_EN = (
    r"(?:unable to|not (?:able|allowed|permitted|authori[sz]ed|going|willing|designed|programmed|"
    r"in a position|here) to)"
)
_HELP_EN = (
    r"(?:help(?! but\b| it\b| myself\b| \w+ing\b)|assist|provide|comply|fulfil+|satisfy|condone|"
    r"encourage|promote|endorse|facilitate|engage|participate|take part|discuss|disclose|reveal|"
    r"share|generate|create|produce|write(?! off\b)|answer(?! the (?:phone|door))|respond|advise|"
    r"offer|give(?! up\b| in\b)|support|suggest|speculate|complete (?:this|that|your) request|"
    r"process (?:this|that|your) request|do (?:that|this|so)\b|explain how|teach|instruct|"
    r"continue (?:with )?(?:this|that|the|our) |make (?:any )?(?:jokes?|fun|assumptions|judg|"
    r"generali|statements|predictions)|tell you how to|express (?:\w+ )?opinions|say anything|"
    r"recommend (?:or|any|ways|methods|that you))"
)
_MACHINE_EN = (
    r"(?:ai|artificial intelligence|language model|chatbot|(?:virtual |digital |ai )?assistant)"
)
_THEN_ANSWERS_EN = r"(?!.{0,60}\bi can (?:tell|say|share|provide|explain|offer|give|clarify))"

_ENGLISH = Phrases(
    code="en",
    hints=(
        "i |i'|my |for me|sorry|unfort|polic|not appropriate|not ethical|not acceptable",
        "n't|not|unable|declin|refus|appropriate|ethical|possible|against|violat|just a|"
        "only a|merely|outside|beyond|conflict|contrary|prefer|prohibit|prevent|forbid",
    ),
    cannot=(
        rf"\bi (?:\w+ )?{_NOT_EN}(?: [\w']+,?){{0,3}}? {_HELP_EN}",
        rf"\bi(?:'m| am) (?:\w+ )?{_UNABLE_EN}(?: \w+){{0,2}}? {_HELP_EN}",
        r"\b(?:sorry|apologies|apologi[sz]e|unfortunately),?(?: but)? (?:cannot|can't|unable to) "
        rf"{_HELP_EN}",
        r"\bi (?:do not|don't) (?:condone|endorse|promote|support (?:the|any)|engage in)",
        r"\b(?:sorry|apologi[sz]e|afraid),?(?: but)? i (?:cannot|can't|won't)(?=[.!,]|$)",
        r"\bi (?:don't|do not) have access to (?:[\w']+ ){0,3}(?:personal|private|confidential|"
        r"your \w+'s)",
    ),
    machine=(
        rf"\bas an? (?:\w+ ){{0,3}}{_MACHINE_EN}\b(?! \w+(?:er|or|ist)\b).{{0,60}}?\b(?:i|my) "
        r"?(?:\w+ )?(?:cannot|can't|do not|don't|am not|'m not|will not|won't|am unable|'m "
        rf"unable|have no|must decline){_THEN_ANSWERS_EN}",
        rf"\bi(?:'m| am) (?:just|only|merely) an? (?:\w+ )?{_MACHINE_EN}{_THEN_ANSWERS_EN}",
        rf"\bi(?:'m| am) an? (?:\w+ )?{_MACHINE_EN}≈(?:\bnot\b|n't\b|\bcannot\b){_THEN_ANSWERS_EN}",
        r"\bi (?:don't|do not) (?:have|hold) (?:any )?personal (?:opinion|belief|view|"
        rf"feeling){_THEN_ANSWERS_EN}",
    ),
    declines=(
        rf"\bi (?:decline|refuse) to (?:\w+ )?{_HELP_EN}",
        r"\bi(?: must| have to| need to|'ll have to| will have to)(?: \w+)? decline(?! (?:your|"
        r"the) (?:\w+ )?(?:invitation|offer))",
        r"\b(?:not|isn't) something (?:that )?i(?:'m| am)? (?:can|able to|will|comfortable)",
        rf"\bi(?:'d| would) (?:rather|prefer) not (?:to )?{_HELP_EN}",
        r"\bi(?:'m| am)? (?:do not|don't|not) (?:feel )?(?:\w+ )?comfortable (?:with (?:this|"
        r"that)|(?:writ|discuss|creat|provid|help|assist|answer|continu|shar|giv|generat|"
        r"engag)ing)",
        r"\b(?:not be|wouldn't be|isn't|not) (?:\w+ or )?(?:appropriate|ethical|right|responsible|"
        r"possible) for me\b",
        r"\b(?:inappropriate|unethical|irresponsible|impossible) (?:\w+ \w+ )?for me\b",
        r"\bi (?:don't|do not) (?:think|believe) (?:it's|it is|that's|that is|this is) "
        r"(?:accurate or fair|(?:\w+ or )?(?:appropriate|ethical|respectful|acceptable))",
        r"\bit(?:'s| is) not (?:appropriate|ethical|acceptable) (?:or \w+ to |to (?:discuss|"
        r"promote|encourage|provide|suggest|advocate|speculate|make (?:generali|assumptions|jokes|"
        r"light|fun)))",
    ),
    rules=(
        r"\b(?:against|violates?|outside|beyond|not within|contrary to|conflicts? with|not in line "
        r"with) (?:of )?(?:the scope of )?my (?:\w+ )?(?:programming|guidelines|polic(?:y|ies)|"
        r"principles|values|rules|capabilities|abilities|scope|training|instructions)",
        r"\bmy (?:\w+ )?(?:programming|guidelines|polic(?:y|ies)|principles|rules|instructions) "
        r"(?:do not|don't|does not|doesn't|prohibits?|prevents?|forbids?)",
        r"\b(?:against|violates?) (?:the |our )?(?:content|usage|safety|ethical|ethics|community|"
        r"openai|use)(?:'s)? (?:\w+ )?(?:guidelines|polic(?:y|ies))",
    ),
    unless=(
        r"\b(?:recommend|promote|praise|support|give|share|endorse)\b.{0,50}\benough\b(?! "
        r"(?:information|details?|context))",
        r"\b(?:offer|give|provide|process|create|share)(?: (?!on\b|how\b|for\b|about\b|"
        r"to\b)\w+){0,4} (?:refund|discount|exchange|replacement|credit|voucher|coupon|quote|"
        r"upgrade|reimbursement)",
        r"\b(?:offer|give|provide) (?:you )?(?:with )?(?:an?|the) (?:definitive|exact|precise|"
        r"better|most up)",
        r"\bif i\b",
    ),
)

_I_DE = r"\b(?:ich (?:kann|darf|werde|möchte|will)|(?:kann|darf|werde|möchte|will) ich)\b"
_NOT_DE = r"\b(?:nicht|kein\w*)\b"
_HELP_DE = (
    r"\b(?:(?:weiter|aus|be)?helfen|behilflich sein|unterstützen|beantworten|antworten|nachkommen|"
    r"erfüllen|entsprechen|bereitstellen|geben|erteilen|erstellen|verfassen|schreiben|generieren|"
    r"produzieren|teilen|preisgeben|herausgeben|weitergeben|nennen|verraten|sprechen|diskutieren|"
    r"fortsetzen|fortfahren|tun|teilnehmen|mitwirken|mitmachen|beitragen|spekulieren|fördern|"
    r"gutheißen|äußern|erklären, wie|diagnosen stellen|beraten|(?:be|ver)arbeiten)\b"
)
_MACHINE_DE = (
    r"(?:ki|künstliche intelligenz|(?:ki-|großes )?sprachmodell|ki-(?:modell|assistent(?:in)?|"
    r"system)|(?:virtuelle[rs]? |digitale[rs]? )?assistent(?:in)?|chatbot)(?![\w-])"
)
_RULES_DE = (
    r"mein\w* (?:\w+ )?(?:\w*richtlinien|programmierung|grundsätze\w*|prinzipien|\w*regeln|"
    r"vorgaben|\w*bedingungen|werte\w*)"
)

_GERMAN = Phrases(
    code="de",
    hints=(
        "ich |mein|mir ",
        "nicht|kein|ablehn|weiger|lehne|nur |lediglich|bloß|verst|widerspr|gegen|außer|"
        "angemessen|unethisch|unverantwort|übersteig|jenseits",
    ),
    cannot=(
        rf"{_I_DE}~{_NOT_DE}~{_HELP_DE}",
        rf"\bich~{_NOT_DE}~{_HELP_DE} (?:kann|darf|werde|möchte|will)\b",
        r"\b(?:ich bin|bin ich)~\bnicht (?:in der lage|befugt|berechtigt|befähigt|dafür gemacht)",
        r"\b(?:ich bin|bin ich)~\baußerstande\b",
        r"\bdas (?:kann|darf|werde|möchte) ich~\bnicht machen\b",
        r"\b(?:leid|leider|sorry|entschuldigung|verzeihung),?(?: aber)? das kann ich "
        r"nicht(?=[.!,]|$)",
        rf"\b(?:ich bedau\w+|leid)\b≈\bnicht\b~(?:{_HELP_DE} zu können|\w+zu\w+ zu können)",
        r"\b(?:ich helfe|helfe ich)~\bnicht\b",
        r"\b(?:ist (?:es )?mir|mir ist es)~\bnicht (?:möglich|erlaubt|gestattet)",
    ),
    machine=(
        rf"\bals (?:\w+ )?{_MACHINE_DE}≈\b(?:ich|mir)\b≈{_NOT_DE}",
        rf"\bich bin (?:nur|lediglich|bloß) eine? (?:\w+ )?{_MACHINE_DE}",
        r"\bich (?:habe|besitze) keine (?:persönliche\w*|eigene\w*) (?:meinung|ansicht|"
        r"überzeugung)",
    ),
    declines=(
        r"\b(?:ich (?:muss|möchte)|(?:muss|möchte) ich)~\bablehnen\b",
        r"\bich lehne (?:es|das|diese\w*|ihre|deine)\b~\bab\b",
        r"\bich weigere mich\b",
        rf"\b(?:ich (?:möchte|würde)|(?:möchte|würde) ich)~\blieber nicht~{_HELP_DE}",
        r"\b(?:wäre|ist)~(?:unangemessen|nicht angemessen|unethisch|unverantwortlich)~\b(?:ich|"
        r"mir|mich)\b",
        r"\bich fühle mich~\bnicht wohl\b",
    ),
    rules=(
        rf"\b(?:verstößt|verstoßen|widerspr\w+|gegen|entgegen)~{_RULES_DE}",
        r"\b(?:übersteigt|außerhalb|jenseits)~\bmein\w* (?:möglichkeiten|fähigkeiten|aufgaben\w*)",
        rf"\b{_RULES_DE} (?:erlauben|lassen|verbieten|gestatten|untersagen|verhindern)",
    ),
    unless=(
        r"erstattung|rabatt|gutschein|umtausch|skonto|preisnachlass|einladung|angebot",
        r"\b(?:wenn|falls|sofern) ich\b",
    ),
)

_I_NL = r"\b(?:ik (?:kan|mag|zal|ga|wil)|(?:kan|mag|zal|ga|wil) ik)\b"
_NOT_NL = r"\b(?:niet|geen)\b"
_HELP_NL = (
    r"\b(?:(?:verder|mee)?helpen|van dienst zijn|assisteren|bijstaan|beantwoorden|antwoorden|"
    r"verstrekken|geven|verlenen|bieden|delen|schrijven|opstellen|(?:inhoud|content|teksten|"
    r"grappen) maken|creëren|genereren|produceren|voldoen|ingaan|inwilligen|bespreken|praten|"
    r"spreken|doorgaan|voortzetten|meewerken|meedoen|deelnemen|steunen|ondersteunen|aanmoedigen|"
    r"promoten|diagnoses stellen|doen|verwerken|vertellen hoe|uitleggen hoe|speculeren|prijsgeven|"
    r"onthullen|adviseren)\b"
)
_MACHINE_NL = (
    r"(?:ai(?:-(?:model|assistent|taalmodel|systeem))?|(?:ai-|groot )?taalmodel|kunstmatige "
    r"intelligentie|(?:virtuele |digitale )?assistent|chatbot)(?![\w-])"
)
_RULES_NL = (
    r"mijn (?:\w+ )?(?:richtlijnen|\w*regels|principes|beleid|programmering|waarden|instructies)"
)

_DUTCH = Phrases(
    code="nl",
    hints=(
        "ik |mijn |mij ",
        "niet|geen|weiger|afwijz|slechts|maar een|gewoon een|in strijd|tegen |buiten|schendt|"
        "ongepast|onethisch|onverantwoord|verbied|verhinder",
    ),
    cannot=(
        rf"{_I_NL}~{_NOT_NL}~{_HELP_NL}",
        rf"\bik~{_NOT_NL}~(?:kan|mag|zal|ga|wil) {_HELP_NL}",
        rf"\bik~{_NOT_NL}~{_HELP_NL} (?:kan|mag|zal|wil)\b",
        r"\b(?:ik ben|ben ik)~\bniet (?:in staat|bevoegd|gemachtigd|geprogrammeerd|bedoeld)",
        r"\bik help~\bniet\b",
        r"\b(?:spijt me|sorry|excuses|helaas),?(?: maar)? dat kan ik niet(?=[.!,]|$)",
    ),
    machine=(
        rf"\bals (?:een )?(?:\w+ )?{_MACHINE_NL}≈\bik\b≈{_NOT_NL}",
        rf"\bik ben (?:slechts|maar|alleen maar|gewoon) een {_MACHINE_NL}",
        r"\bik heb geen (?:persoonlijke|eigen) (?:mening|opvatting|overtuiging)",
    ),
    declines=(
        r"\b(?:ik moet|moet ik)~\b(?:afwijzen|weigeren)\b",
        rf"\bik weiger (?:om|dit|dat|deze|hier|{_HELP_NL})",
        rf"\b(?:ik|(?:wil|ga) ik)~\bliever niet~(?:\bverder\b|{_HELP_NL})",
        r"\b(?:ongepast|niet gepast|onethisch|onverantwoord)~\b(?:ik|mij)\b",
        r"\bik voel me~\bniet (?:prettig|comfortabel|op mijn gemak)",
    ),
    rules=(
        rf"\b(?:in strijd met|tegen|buiten|schendt) {_RULES_NL}",
        r"\bbuiten mijn (?:mogelijkheden|bereik|vermogen)",
        rf"\b{_RULES_NL}~\b(?:niet toe|verbieden|verbiedt|verhinderen|verhindert)\b",
    ),
    unless=(
        r"terugbetal|korting|tegoed|ruilen|omruil|vergoeding|uitnodiging|aanbod",
        r"\bals ik\b|\bhet niet helpen\b",
    ),
)

GERMANIC = (_ENGLISH, _GERMAN, _DUTCH)
