"""Arabic (without vowel marks, every alef alike) and Turkish."""

from __future__ import annotations

from tuneloop.refusal.phrases import Phrases

_HELP_AR = (
    r"(?:\w*مساعد\w*|\w*تقديم|\w*توفير|\w*تزويد\w*|\w*إعطا\w*|\w*إجابة|الرد على|\w*مشاركة|"
    r"\w*إنشاء|\w*كتابة|\w*تلبية|\w*تنفيذ|فعل (?:ذلك|هذا)|القيام ب(?:ذلك|هذا)|\w*مناقشة|\w*حديث|"
    r"\w*تحدث|\w*كشف|\w*دعم|\w*تشجيع|\w*ترويج|\w*تشخيص|\w*شرح|\w*إخبار\w*|\w*إبداء|\w*امتثال|"
    r"\w*مواصلة|\w*متابعة|\w*مساهمة|\w*إفصاح)\b"
)
_MACHINE_AR = r"(?:نموذج\w*|ذكاء|مساعد\w*|روبوت|برنامج)"
_RULES_AR = r"(?:سياسات|إرشادات|مبادئ|قواعد|توجيهات|تعليمات|قيم|برمجت)ي\b"

_ARABIC = Phrases(
    code="ar",
    hints=(
        "لا |لن |لست|غير |رفض|ليس|مجرد|فقط|فضل|اتي|مبادئي|خارج",
        "ي|أ|ن",
    ),
    cannot=(
        r"\b[وف]?(?:لا (?:يمكنني|أستطيع|أقدر على|يسعني|يجوز لي|يحق لي|يسمح لي|أتمكن من)|لن "
        r"(?:أتمكن من|أستطيع|يمكنني)|لست (?:قادر\w*|مخول\w*)|غير (?:قادر\w*|مخول\w*|مصرح لي|"
        rf"مسموح لي)|يتعذر علي)\b~{_HELP_AR}",
        rf"\bلن أ(?:ساعد\w*|شارك|كتب|قدم|جيب|نشئ|قوم~{_HELP_AR})",
    ),
    machine=(
        rf"\b(?:بصفتي|باعتباري|كوني) {_MACHINE_AR}≈\b(?:لا|ليس|لست|لن)\b",
        rf"\bك{_MACHINE_AR}≈\b(?:لا (?:يمكنني|أستطيع|يسمح لي|أملك)|ليس لدي|لست|لن أ)",
        rf"\bأنا (?:مجرد|فقط) {_MACHINE_AR}",
        r"\bليس لدي (?:آراء|رأي|معتقدات) شخصي",
    ),
    declines=(
        rf"\b(?:أرفض|علي رفض) (?:هذا|{_HELP_AR})",
        rf"\bأفضل (?:ألا|عدم|أن لا)~(?:{_HELP_AR}|أواصل|أتحدث|أشارك)",
        r"\bلا أشعر بالارتياح\b",
        r"\b(?:من غير|غير|ليس من) (?:المناسب|اللائق|الأخلاقي) (?:لي|مني|أن أ)",
    ),
    rules=(
        rf"\b(?:يتعارض مع|تتعارض مع|يخالف|ينتهك|ضد) {_RULES_AR}",
        r"\bخارج نطاق (?:قدراتي|إمكانياتي|اختصاصي)",
        rf"\b{_RULES_AR}~(?:لا تسمح|لا يسمح|تمنعني|تحظر)",
    ),
    unless=(
        r"خصم|استرداد|استرجاع|قسيمة|استبدال|رد المبلغ|تعويض|دعوت",
        r"إذا لم|إن لم|بما يكفي|منع نفسي",
    ),
)

_NOT_TR = (
    r"(?:y?[ae]m[ae]m|y?[ae]m[ıi]yorum|y?[ae]m[ae]yaca[ğg]ım|y?[ae]m[ae]yece[ğg]im|"
    r"m[ae]yaca[ğg]ım|m[ae]yece[ğg]im)\b"
)
_HELP_TR = (
    r"\b(?:yardımcı ol|yardım e[dt]|yanıtla|cevapla|(?:cevap|yanıt|bilgi|talimat|tavsiye|ayrıntı|"
    r"detay|tarif|adres\w*) ver|paylaş|sağla|oluştur|üret|yaz|(?:bunu|böyle bir şeyi?|öyle bir "
    r"şeyi?) yap|yerine getir|tartış|hakkında konuş|destekle|teşvik e[dt]|buna katıl|devam e[dt]|"
    r"açıkla|anlat|yorum yap|(?:tanı|teşhis) koy|öneride bulun|tahminde bulun)"
)
_MACHINE_TR = (
    r"(?:yapay zek[âa](?: (?:modeli|asistanı|dil modeli))?|(?:büyük )?dil modeli|(?:sanal |"
    r"dijital )?asistan|sohbet robotu)"
)
_RULES_TR = r"(?:politikaları|yönergeleri|kuralları|ilkeleri|değerleri|programlama|talimatları)m"

_TURKISH = Phrases(
    code="tr",
    hints=(
        "amam|emem|yorum|acağım|eceğim|zorunda|durumunda|yok|değil|olmaz|larım|lerim|"
        "kapsamım|sadece|yalnız|meliyim",
        "amam|emem|yorum|acağım|eceğim|zorunda|durumunda|yok|değil|olmaz|dışında|aykırı|ters|"
        "uymuyor|sadece|yalnız|verm|yasakl|engell|bulunm|meliyim",
    ),
    cannot=(rf"{_HELP_TR}{_NOT_TR}",),
    machine=(
        rf"\b{_MACHINE_TR} olarak≈(?:\byok\b|\bdeğilim\b|\w{_NOT_TR}|m[ıi]yorum\b)",
        rf"\b(?:sadece|yalnızca|yalnız) (?:bir )?{_MACHINE_TR}",
        r"\bkişisel (?:görüş|fikir|düşünce)\w* (?:yok|bulunm)",
    ),
    declines=(
        r"\b(?:isteği|talebi|bunu|isteğinizi|talebinizi)~\breddet(?:mek (?:zorunda|"
        r"durumunda)y[ıi]m|meliyim)",
        r"\bkatılmayı reddediyorum\b|\byardım etmeyi reddediyorum\b|\b(?:isteği|"
        r"talebi)\w*~\breddediyorum\b",
        r"\b\w+m[ae]m[ae]yi tercih ed(?:erim|iyorum)\b",
        r"\b\w+m[ae]m (?:uygun|doğru|etik) (?:olmaz|değil)",
        r"\bkendimi rahat hissetmiyorum\b",
    ),
    rules=(
        rf"\b{_RULES_TR}[ae]~(?:aykırı|ters|uymuyor)",
        r"\b(?:kapsamım|yeteneklerim|yetkim)(?:ın|in)? dışında",
        rf"\b{_RULES_TR}~(?:izin verm|yasakl|engell)",
    ),
    unless=(
        r"\biade|indirim|kupon|değişim|davet|teklif|parti|toplantı|düğün",
        r"\beğer ben\b|ne kadar",
    ),
)

MIDDLE_EASTERN = (_ARABIC, _TURKISH)
