"""The texts with which an encoder is verified unless others are given: short, long, empty, and in many scripts."""

_SENTENCE = (
    "The archive keeps letters, ledgers and maps of a harbour town; clerks copied most of them twice, "
    "and a third copy went to the county seat by post coach every second Thursday."
)
_GLACIERS = (
    "Glaciers store most of the fresh water on land. As they retreat, rivers that they feed first swell and then "
    "run low in summer, when farmers downstream need them most. Dams can shift the water in time, but not replace it."
)
_HASH_TABLES = (
    "A hash table answers look-ups in constant time on average. Its worst case is linear: all keys may fall into one "
    "bucket. Choosing the hash function at random, when the table is made, keeps an adversary from causing this."
)
_INSTRUCTIONS = (
    "Rinse the lentils, cover them with cold water, add a bay leaf and simmer gently. "
    "When they are soft, fold in roasted carrots, a spoon of mustard and plenty of chopped parsley. "
)

TEXTS: tuple[str, ...] = (
    # Queries as people type them.
    "headache",
    "how long do cats sleep",
    "What causes the tides?",
    "cheap flights lisbon to oslo in march",
    "difference between a virus and a bacterium",
    "who wrote the first dictionary of the English language",
    "symptoms of iron deficiency in children under 5",
    "is it safe to eat raw oysters",
    "MINIMUM WAGE 2024",
    "xylophone zugzwang quixotic",
    # Sentences.
    "Ibuprofen relieves pain and reduces fever.",
    "A supersonic wing meets a shock wave long before the pilot hears it.",
    "She sold the bakery, bought a boat, and never looked back.",
    "The court dismissed the appeal because it had been filed one day late.",
    "Photosynthesis turns light, water and carbon dioxide into sugar and oxygen.",
    "Interest rates rose by 0.25 percentage points, to 4.75 %.",
    "Don't confuse 'its' with \"it's\" - it's easier than you'd think!",
    "Mr. O'Neill-Smith (b. 1947) taught at St. Mary's, Co. Cork.",
    # Paragraphs.
    _SENTENCE,
    _GLACIERS,
    _HASH_TABLES,
    # Long: some hundred tokens, more than 256, and more than any model reads.
    _SENTENCE * 5,
    _INSTRUCTIONS * 12,
    " ".join(f"Item {number}: {_SENTENCE}" for number in range(1, 41)),
    "token " * 700,
    # Numbers, units, formulas.
    "3.14159 2,718.28 1e-9 0x1F 42nd IV",
    "E = mc², ∫₀¹ x dx = ½, α ≤ β ≠ γ",
    "5 km/h ≈ 1.39 m/s; −40 °C = −40 °F; £12.50, €9,99, ¥1000",
    "Version 2.0.1-rc.3 of libfoo.so.7 needs glibc >= 2.31",
    # Code and addresses.
    "def add(a, b):\n    return a + b  # no overflow here",
    "SELECT name, COUNT(*) FROM users WHERE age > 30 GROUP BY name HAVING COUNT(*) > 1;",
    "for (int i = 0; i < n; ++i) { sum += x[i] * y[i]; }",
    '{"id": "d1", "vector": {"cat": 215}, "tags": [null, true]}',
    "https://example.org/path/to/page.html?query=sparse+vectors&page=2#section-3",
    "Write to jane.doe+news@example.com or see www.example.net/~jane",
    "rm -rf ./build && make -j4 2>&1 | tee build.log",
    "CamelCaseIdentifier snake_case_identifier kebab-case-identifier SCREAMING_CASE",
    # Other languages and scripts.
    "Der Fuß des Berges liegt über dem Nebel; die Straße führt nach Süden.",
    "L'été dernier, nous avons mangé des crêpes à la plage.",
    "¿Dónde está la estación de tren más cercana, señor?",
    "Поезд прибывает на третий путь через десять минут.",
    "今天天气很好，我们去公园散步吧。",
    "東京の地下鉄は時間に正確です。",
    "القطار يغادر المحطة في الساعة الثامنة",
    "한국어 문장도 토큰으로 나뉩니다.",
    "Ο ποταμός κυλά προς τη θάλασσα",
    # Emoji, punctuation, odd characters.
    "great job 👍🎉 see you at the 🏖️ 😀😀😀",
    "🤷",
    "?!… — “quoted” ‘text’ • § ¶ ™",
    "na\u00efve cafe\u0301 \ufb01ne \u200bzero\u200bwidth soft\u00adhyphen",
    "[CLS] [SEP] [MASK] <s> </s> <pad>",
    "tab\there\r\nnew line\n\n  many   spaces  ",
    "Supercalifragilisticexpialidocious" * 8,
    # Without a single token.
    "",
    "   \n\t ",
)
"""Fifty-odd texts, which are encoded as documents and as queries."""

SHORT_TEXTS: tuple[str, ...] = (
    "pain",
    "how long do cats sleep",
    "A supersonic wing meets a shock wave long before the pilot hears it.",
)
"""Three short texts, for the reference vectors on a card."""
