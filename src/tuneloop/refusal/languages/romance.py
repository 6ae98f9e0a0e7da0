"""French, Spanish, Portuguese and Italian."""

from __future__ import annotations

from tuneloop.refusal.phrases import Phrases

_HELP_FR = (
    r"\b(?:aider|assister|fournir|répondre|donner|communiquer|partager|divulguer|révéler|créer|"
    r"générer|produire|rédiger|écrire|satisfaire|accéder à (?:cette|votre|ta)|discuter|aborder|"
    r"parler de|faire (?:cela|ça)|participer|encourager|promouvoir|cautionner|soutenir|traiter "
    r"cette|poursuivre|continuer|expliquer comment|dire comment|poser de diagnostic|exprimer d|"
    r"spéculer|conseiller|donner suite)"
)
_MACHINE_FR = (
    r"(?:ia|intelligence artificielle|(?:grand )?modèle (?:de langage|linguistique|d'ia)|"
    r"assistante?(?: virtuel(?:le)?| ia| numérique| d'ia)?|chatbot)\b"
)
_RULES_FR = (
    r"mes (?:\w+ )?(?:règles|consignes|principes|directives|lignes directrices|valeurs|politiques|"
    r"instructions)"
)

_FRENCH = Phrases(
    code="fr",
    hints=(
        "je |m'|mes |ma part|pour moi|pouvoir|n'est pas",
        "ne |n'|pas |refus|déclin|impossible|juste |seulement|simplement|encontre|contraire|"
        "enfrein|viole|inappropri|déplac|irresponsable|dépasse|hors de|au-delà|contre ",
    ),
    cannot=(
        r"\bje ne (?:vous |te |t')?(?:peux|puis|pourrai|pourrais|saurais|vais|dois|"
        rf"souhaite)\b(?! que\b)~{_HELP_FR}",
        r"\bje ne (?:vous |te |t')?(?:aiderai|participerai|fournirai|répondrai|donnerai|écrirai|"
        r"produirai|créerai|générerai|rédigerai|partagerai)\b",
        rf"\bje ne suis~\bpas (?:en mesure|capable) d~{_HELP_FR}",
        r"\bje ne suis~\bpas (?:autorisée?|habilitée?|à l'aise|conçue?|programmée?)\b",
        r"\b(?:désolée?|navrée?),?(?: mais)? je ne peux pas(?=[.!,]|$)",
        rf"\bil (?:m'est|ne m'est)~(?:impossible|interdit|pas possible|pas permis) d~{_HELP_FR}",
        rf"\b(?:désolée?|navrée?|regrette) de ne (?:pas )?pouvoir~{_HELP_FR}",
        r"\bje n'ai pas (?:le droit|l'autorisation|la permission|la possibilité) de\b",
    ),
    machine=(
        rf"\ben tant (?:qu'|que )(?:simple )?{_MACHINE_FR}≈\bje n(?:e |')",
        rf"\bje (?:ne suis qu'|suis (?:juste|seulement|simplement) )une? (?:simple )?{_MACHINE_FR}",
        r"\bje n'ai pas d'(?:opinions?|avis|croyances?) personnel",
    ),
    declines=(
        r"\bje (?:dois|me dois de|préfère) (?:\w+ )?(?:décliner|refuser)\b",
        rf"\bje (?:refuse d(?:e |')~{_HELP_FR}|décline (?:cette|votre demande))",
        r"\bje préfère(?:rais)? ne pas\b",
        r"\bn'est pas (?:approprié|éthique) (?:de|d') ?(?:générer|fournir|produire|créer|discuter)",
        r"\b(?:inappropriée?|déplacée?|irresponsable|contraire à l'éthique|pas approprié)~(?:\bde "
        r"ma part\b|\bpour moi\b|\bque je\b)",
    ),
    rules=(
        r"\b(?:à l'encontre de|contraires? à|enfreint|viole|contrevient à|contre|hors de) "
        rf"{_RULES_FR}",
        r"\b(?:dépasse|hors de|au-delà de) mes (?:capacités|compétences)",
        rf"\b{_RULES_FR}~(?:ne me permet|ne m'autorise|m'interdi|m'empêche)",
    ),
    unless=(
        r"rembours|\bavoir (?:de|sur)\b|\bremise\b|réduction|échange|bon d'achat|invitation",
        r"\bsi je\b|m'empêcher",
    ),
)

_HELP_ES = (
    r"\b(?:ayudar\w*|asistir\w*|apoyar\w*|proporcionar\w*|facilitar\w*|responder\w*|contestar\w*|"
    r"dar(?:te|le|les|os)?\b|ofrecer\w*|brindar\w*|compartir\w*|revelar|divulgar|crear|generar|"
    r"producir|escribir\w*|redactar|cumplir|atender|satisfacer|hacer (?:eso|esto)|hacerlo|"
    r"participar|fomentar|promover|hablar (?:de|sobre)|discutir|opinar|continuar|seguir con|"
    r"completar (?:esa|esta|tu|su)|procesar (?:esa|esta|tu|su)|explicar\w* cómo|decir\w* cómo|"
    r"enseñar\w*|emitir|especular)"
)
_MACHINE_ES = (
    r"(?:ia|inteligencia artificial|modelo (?:de (?:lenguaje|ia)|lingüístico)|asistente(?: "
    r"virtual| de ia| digital)?|chatbot)\b"
)
_RULES_ES = (
    r"mis (?:\w+ )?(?:directrices|normas|políticas|reglas|principios|pautas|valores|instrucciones)"
)

_SPANISH = Phrases(
    code="es",
    hints=(
        "no |niego|rechaz|declin| mis | mi |posible|incapaz|inapropiad|soy ",
        "puedo|podr|debo|voy a|ré|estoy|soy |me |tengo|mis |mi |siento|lamento|poseo|prefier|"
        "prefer|rechaz|declin|para mí|yo |apropiado|ético",
    ),
    cannot=(
        rf"\bno (?:te |le |les |os |me )?(?:puedo|podré|podría|debo|voy a)~{_HELP_ES}",
        r"\bno (?:te |le |les |os )?(?:ayudaré|participaré|proporcionaré|generaré|escribiré|"
        r"responderé|daré|crearé|compartiré)\b",
        r"\bno (?:estoy|soy)~(?:en condiciones|en posición|capaz|capacitad[oa]|autorizad[oa]|"
        r"diseñad[oa]|programad[oa]) (?:de|para)\b",
        r"\bno me (?:es|está|resulta) (?:posible|permitido)\b",
        rf"\bme (?:es|resulta) imposible~{_HELP_ES}",
        rf"\b(?:lamento|siento) no poder~{_HELP_ES}",
        r"\bno tengo (?:permitido|permiso|autorización|la capacidad|la posibilidad)\b",
        r"\b(?:siento|lamento|perdona|disculpa|disculpe),?(?: pero)? no puedo(?=[.!,]|$)",
        r"\bsoy incapaz de\b",
    ),
    machine=(
        rf"\bcomo (?:una? )?(?:simple |gran )?{_MACHINE_ES}≈\bno (?:tengo|puedo|soy|estoy|me|debo|"
        r"cuento|poseo|voy)\b",
        r"\b(?:(?:solo|sólo|simplemente|únicamente) soy|soy (?:solo|sólo|simplemente|"
        rf"únicamente)) una? (?:simple )?{_MACHINE_ES}",
        r"\bno (?:tengo|poseo) (?:opiniones|creencias|opinión) personal",
    ),
    declines=(
        r"\b(?:debo|tengo que|me veo obligad[oa] a) (?:rechazar|declinar)\b",
        r"\bme niego a\b",
        r"\bno es (?:apropiado|ético) (?:generar|proporcionar|crear|producir|discutir|compartir)",
        r"\brechazo (?:esta|esa|tu|su) (?:solicitud|petición)",
        rf"\b(?:prefiero|preferiría) no~{_HELP_ES}",
        r"\bno me siento cómod[oa]\b",
        r"\b(?:inapropiado|inadecuado|poco ético|irresponsable|no es apropiado)~(?:por mi parte|"
        r"de mi parte|que yo\b|para mí)",
    ),
    rules=(
        rf"\b(?:contra|en contra de|contrari[oa] a|viola|infringe|incumple) {_RULES_ES}",
        r"\bfuera de mi(?:s capacidades| alcance)\b",
        rf"\b{_RULES_ES} (?:no me|me impide|me prohíbe)",
    ),
    unless=(
        r"reembols|descuento|devoluci|\bvale\b|cupón|invitación|oferta",
        r"\bsi (?:no )?puedo\b",
    ),
)

_HELP_PT = (
    r"\b(?:ajudar|ajudá-\w+|auxiliar|assistir|apoiar|fornecer|responder|dar(?:-lhe)?\b|oferecer|"
    r"compartilhar|partilhar|revelar|divulgar|criar|gerar|produzir|escrever|redigir|atender|"
    r"cumprir|satisfazer|realizar (?:essa|esta|este|esse)|fazer (?:isso|isto)|participar|"
    r"incentivar|promover|falar (?:sobre|de)|discutir|opinar|continuar|prosseguir|emitir|"
    r"especular|explicar como|ensinar|dizer como)"
)
_MACHINE_PT = (
    r"(?:ia|inteligência artificial|modelo de (?:linguagem|ia)|assistente(?: virtual| de ia| "
    r"digital)?|chatbot)\b"
)
_RULES_PT = (
    r"(?:minhas|meus) (?:\w+ )?(?:diretrizes|políticas|regras|princípios|normas|valores|"
    r"instruções|orientações)"
)

_PORTUGUESE = Phrases(
    code="pt",
    hints=(
        "não |recus|declinar|minha|meus |meu |sou |apropriad|possível",
        "posso|pode|consigo|devo|vou |irei|estou|sou |me |tenho|possuo|mim|minha|meus|meu |"
        "prefir|prefer|recus|lamento|sinto|eu |apropriado|ético|preciso",
    ),
    cannot=(
        r"\bnão (?:te |lhe |o |a |vos )?(?:posso|poderei|poderia|consigo|devo|vou|"
        rf"irei)~{_HELP_PT}",
        r"\bnão (?:estou|sou)~(?:em condições|capaz|apt[oa]|autorizad[oa]|programad[oa]|"
        r"habilitad[oa])\b",
        r"\bnão me é (?:possível|permitido)\b",
        rf"\bme é impossível~{_HELP_PT}",
        rf"\b(?:lamento|sinto muito)(?: por)? não poder~{_HELP_PT}",
        r"\bnão tenho (?:permissão|autorização|a capacidade|condições de)\b",
        r"\b(?:desculpe|desculpa|sinto muito|lamento),?(?: mas)? não posso(?=[.!,]|$)",
        r"\bsou incapaz de\b",
    ),
    machine=(
        rf"\bcomo (?:uma? )?(?:simples |grande )?{_MACHINE_PT}≈\bnão (?:tenho|posso|sou|estou|me|"
        r"devo|consigo|possuo|vou)\b",
        rf"\bsou (?:apenas|só|somente) uma? (?:simples )?{_MACHINE_PT}",
        r"\bnão (?:tenho|possuo) (?:opiniões|opinião|crenças) pessoa",
    ),
    declines=(
        r"\b(?:tenho (?:de|que)|devo|preciso) (?:recusar|declinar)\b",
        r"\b(?:recuso-me|me recuso) a\b",
        r"\bnão é (?:apropriado|ético) (?:gerar|fornecer|criar|produzir|discutir|compartilhar|"
        r"partilhar)",
        r"\bnão seria (?:apropriado|ético|responsável) da minha parte",
        rf"\b(?:prefiro|preferiria) não~{_HELP_PT}",
        r"\bnão me sinto (?:confortável|à vontade)\b",
        r"\b(?:inapropriado|inadequado|antiético|irresponsável)~(?:da minha parte|para mim|que "
        r"eu\b|eu \w+ar\b)",
    ),
    rules=(
        rf"\b(?:contra|contrári[oa] (?:às|aos|a)|viola|infringe|fere) (?:as |os )?{_RULES_PT}",
        r"\b(?:fora do meu (?:alcance|escopo|âmbito)|além das minhas capacidades)\b",
        rf"\b{_RULES_PT} (?:não (?:me )?permite|me impede|me proíbe|impede|proíbe)",
    ),
    unless=(
        r"reembols|desconto|devoluç|\bvale\b|cupom|cupão|convite|oferta",
        r"\bse (?:não )?(?:posso|puder)\b",
    ),
)

_HELP_IT = (
    r"\b(?:aiutar\w*|assister\w*|fornir\w*|risponder\w*|dar(?:e|ti|le|vi)\b|offrir\w*|"
    r"condivider\w*|rivelar\w*|divulgare|creare|generare|produrre|scriver\w*|redigere|"
    r"(?:soddisfare|esaudire) (?:quest|la (?:tua|sua|vostra)|tale)|accogliere|farlo\b|fare "
    r"(?:questo|ciò|quello)|partecipare|promuovere|incoraggiare|sostenere|parlare di|discutere|"
    r"continuare|proseguire|esprimere|spiegar\w* come|dir\w+ come|comunicare|insegnar\w*|"
    r"procedere con|completare questa|supportar\w*)"
)
_MACHINE_IT = (
    r"(?:ia|intelligenza artificiale|modello (?:linguistico|di linguaggio|di ia)|assistente(?: "
    r"virtuale| ia| digitale)?|chatbot)\b"
)
_RULES_IT = (
    r"(?:le mie|i miei|alle mie|ai miei|con le mie|con i miei) (?:\w+ )?(?:linee guida|regole|"
    r"norme|principi|politiche|direttive|valori|istruzioni)"
)

_ITALIAN = Phrases(
    code="it",
    hints=(
        "non |rifiut|declin| mie | miei |sono |impossibil|appropriat",
        "posso|potr|poter|devo|intendo|rò|sono |mi |mie |miei |ho |prefer|rifiut|declin|"
        "per me|che io|parte mia|appropriato|etico",
    ),
    cannot=(
        rf"\bnon (?:ti |le |vi |la )?(?:posso|potrò|potrei|devo|intendo)~{_HELP_IT}",
        r"\bnon (?:ti |le |vi )?(?:aiuterò|genererò|parteciperò|fornirò|risponderò|scriverò|"
        r"creerò|produrrò|condividerò)\b",
        rf"\bnon sono (?:\w+ )?(?:in grado|capace) di (?:\w+ )?{_HELP_IT}",
        r"\bnon sono (?:\w+ )?(?:autorizzat[oa]|programmat[oa]|abilitat[oa])\b",
        r"\b(?:dispiace|spiacente|scusa|scusi),?(?: ma)? non posso(?=[.!,]|$)",
        r"\bnon mi è (?:possibile|permesso|consentito)\b",
        rf"\bmi è impossibile~{_HELP_IT}",
        rf"\b(?:dispiace|spiacente)(?: di)? non poter~{_HELP_IT}",
        r"\bnon ho (?:il permesso|l'autorizzazione|la possibilità)\b",
    ),
    machine=(
        rf"\b(?:in quanto|come|essendo) (?:un'|una? )?(?:semplice |grande )?{_MACHINE_IT}≈\bnon "
        r"(?:ho|posso|sono|mi|devo|possiedo)\b",
        rf"\bsono (?:solo|soltanto|semplicemente) un(?:'|a? )(?:semplice )?{_MACHINE_IT}",
        r"\bnon ho (?:opinioni|convinzioni) personal",
    ),
    declines=(
        r"\bdevo (?:\w+ )?(?:rifiutare|declinare)\b",
        rf"\bmi rifiuto di\b~(?:{_HELP_IT}|prendere parte)",
        r"\bnon è (?:appropriato|etico) (?:generare|fornire|creare|produrre|discutere|condividere)",
        rf"\b(?:preferisco|preferirei) non~{_HELP_IT}",
        r"\bnon mi sento a mio agio\b",
        r"\b(?:inappropriato|inopportuno|non etico|irresponsabile|non è appropriato)~(?:da parte "
        r"mia|per me\b|che io\b)",
    ),
    rules=(
        rf"\b(?:contro|viola|contrari[oa]|in contrasto) {_RULES_IT}",
        r"\b(?:al di fuori delle|esula dalle|oltre le) mie (?:capacità|competenze|possibilità)",
        rf"\b{_RULES_IT} (?:non mi|mi impedi|mi viet)",
    ),
    unless=(
        r"rimbors|sconto|\bbuono\b|\breso\b|\bresi\b|invito|offerta",
        r"\bse non posso\b",
    ),
)

ROMANCE = (_FRENCH, _SPANISH, _PORTUGUESE, _ITALIAN)
