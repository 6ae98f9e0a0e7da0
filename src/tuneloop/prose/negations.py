"""Words that turn a statement round, in some 25 languages."""

from __future__ import annotations

import re

from tuneloop.sameness import spans

_NEGATION_WORDS = """
    not no never none nobody nothing neither nor without cannot
    nicht kein keine keinen keinem keiner keines nie niemals niemand nichts ohne weder
    ne pas jamais rien aucun aucune sans ni no nunca jamás sin ningún ninguno ninguna nada nadie
    tampoco non mai senza nessun nessuno nessuna niente nulla não nunca sem nenhum nenhuma ninguém
    niet geen nooit zonder niemand niets nie bez nigdy żaden żadna żadne nikt nic
    inte ikke ingen inget aldrig aldri utan uden uten ne nikdy žádný ei ilman eikä nem nincs soha
    fără niciodată не нет ни без никогда никто ничего нельзя ні немає нема ніколи değil yok hiç
    δεν δε μη μην όχι χωρίς ποτέ لا لم لن ليس بدون غير לא אין בלי אל नहीं मत बिना না নেই இல்லை
    không chưa tidak bukan tanpa 不 没 沒 无 無 未 非 别 別 勿
"""
_NEGATIONS = frozenset(_NEGATION_WORDS.split())
_NEGATION_WITHIN = re.compile(r"ない|なかった|ません|なく|ไม่|않|못|없|아니")
"""Where words are not parted by spaces, or carry their negation as an ending."""
_CONTRACTED = ("n't", "n’t", "nʼt")


def negations(text: str) -> int:
    """How many a text has; `don't` and `do not` have one each."""
    words = (text[start:end].lower() for start, end in spans(text))
    whole = sum(word in _NEGATIONS or word.endswith(_CONTRACTED) for word in words)
    return whole + len(_NEGATION_WITHIN.findall(text))
