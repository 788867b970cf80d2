"""The words of the generated workspace: a maternal health and farming programme in East Africa, in four languages."""

from dataclasses import dataclass

LANGUAGES = ("kin", "eng", "swa", "fra")
LANGUAGE_WEIGHTS = (45, 70, 88, 100)  # cumulative, of 100

# fmt: off
FIRST_NAMES = (
    "Aline", "Amina", "Ange", "Baraka", "Beatrice", "Chantal", "Claudine", "Consolée", "Divine", "Emmanuel", "Eric",
    "Espérance", "Esther", "Eugène", "Fatuma", "Florence", "Gaspard", "Grace", "Habimana", "Honorine", "Imani",
    "Innocent", "Jean-Claude", "Jeanne", "Juma", "Kevine", "Liliane", "Marie-Louise", "Musa", "Neema", "Odette",
    "Olive", "Pacifique", "Pascal", "Rehema", "Salama", "Solange", "Théogène", "Vestine", "Wanjiru", "Yvonne",
    "Zawadi", "Zoë",
)
LAST_NAMES = (
    "Bizimana", "Gakuru", "Habyarimana", "Hakizimana", "Ingabire", "Irakoze", "Kamau", "Kayitesi", "Mbarushimana",
    "Mukamana", "Mukeshimana", "Munyaneza", "Mutesi", "Mwangi", "Ndayisenga", "Niyonzima", "Nkurunziza",
    "Nshimiyimana", "Nyirahabimana", "O'Neil", "Odhiambo", "Otieno", "Rukundo", "Rwigema", "Sebahive", "Tuyishime",
    "Twagiramungu", "Umutoni", "Uwamahoro", "Uwase", "Uwimana", "Wanjala",
)
# fmt: on
RARE_NAMES = (
    "آمنة حسن",
    "Ольга",
    'Mama "Bébé"',
    "Grace 🌻",
    "李 Wei",
    "Nyira-\nhabimana",
    "ኣስቴር",
    "T.",
    "=SUM(1+1)",
    "null",
)

PLACES = {
    "Kigali City": {"Gasabo": ("Kacyiru", "Remera"), "Kicukiro": ("Gatenga", "Kanombe")},
    "Northern Province": {"Musanze": ("Cyuve", "Muhoza"), "Gicumbi": ("Byumba", "Rukomo")},
    "Southern Province": {"Huye": ("Ngoma", "Tumba"), "Nyamagabe": ("Gasaka", "Kibirizi")},
    "Eastern Province": {"Kayonza": ("Mukarange", "Gahini"), "Nyagatare": ("Karangazi", "Rwimiyaga")},
}
COUNTRY = "Rwanda"

YES = ("Yes", "yes", "Yego", "yego cyane", "Oui", "Ndiyo", "ndio", "1", "Y", "Yes 🙏", "Yes, thank you", "ee")
NO = ("No", "no", "Oya", "Non", "Hapana", "2", "N", "Not yet", 'I said "no" already', "oya, ntabwo bishoboka")
OTHER = (
    "What?",
    "???",
    "Who is this",
    "ntabwo numva",
    "call me",
    "👍",
    "Sielewi",
    "Je ne comprends pas",
    "hi\nhow are you",
    "كيف حالك",
)
THANKS = (
    "Murakoze cyane",
    "Asante sana 🙏🏿",
    "Merci beaucoup",
    "Thank you, the clinic was helpful",
    "My baby has a fever since yesterday, what can I do?",
    "Amata ni angahe uyu munsi?",
    "Bei ya mahindi ni ngapi?",
    "Où est le centre de santé le plus proche ?",
    "STOP",
    "Ndashaka kuvugana n'umujyanama w'ubuzima",
    'The nurse said "come back on Monday"',
    "Line one\nline two\n\tindented; semicolons, commas",
    "شكرا جزيلا لكم",
    "I have 3 goats & 2 cows <3",
    "100% sure \\o/",
    "Mvua imenyesha sana, mahindi yameharibika 🌧️🌽",
)
AGENT = (
    "Hello, this is the health desk. How can we help?",
    "Mwaramutse, turi ku biro by'ubuzima. Twagufasha iki?",
    "Please go to your nearest health centre today.",
    "Tafadhali fika kituo cha afya leo.",
    "Nous vous rappelons dans une heure.",
)


@dataclass(frozen=True)
class Question:
    """One question of a flow: the text in each language, and answers by category."""

    key: str
    name: str
    texts: tuple[str, str, str, str]  # in the order of LANGUAGES
    answers: tuple[tuple[str, tuple[str, ...]], ...]


@dataclass(frozen=True)
class FlowWords:
    """One flow."""

    name: str
    expires: int  # minutes
    weight: int
    questions: tuple[Question, ...]
    kind: str = "message"


def _yes_no(key: str, name: str, *texts: str) -> Question:
    return Question(key, name, (texts[0], texts[1], texts[2], texts[3]), (("Yes", YES), ("No", NO), ("Other", OTHER)))


def _number(key: str, name: str, top: int, *texts: str) -> Question:
    low, high = (tuple(str(n) for n in span) for span in (range(top // 2), range(top // 2, top + 1)))
    return Question(
        key, name, (texts[0], texts[1], texts[2], texts[3]), (("Low", low), ("High", high), ("Other", OTHER))
    )


def _choice(key: str, name: str, options: str, *texts: str) -> Question:
    answers = tuple((option, (option, option.lower(), option[:3])) for option in options.split())
    return Question(key, name, (texts[0], texts[1], texts[2], texts[3]), (*answers, ("Other", OTHER)))


FLOWS = (
    FlowWords(
        "Registration",
        720,
        22,
        (
            _yes_no(
                "consent",
                "Consent",
                "Murakaza neza! Mwemera kwakira ubutumwa bwacu? Yego cyangwa Oya",
                "Welcome! Do you agree to receive our messages? Reply Yes or No",
                "Karibu! Unakubali kupokea ujumbe wetu? Jibu Ndiyo au Hapana",
                "Bienvenue ! Acceptez-vous de recevoir nos messages ? Oui ou Non",
            ),
            _choice(
                "district",
                "District",
                "Gasabo Kicukiro Musanze Gicumbi Huye Nyamagabe Kayonza Nyagatare",
                "Mutuye mu kahe karere?",
                "Which district do you live in?",
                "Unaishi wilaya gani?",
                "Dans quel district habitez-vous ?",
            ),
            _number(
                "age",
                "Age",
                60,
                "Mufite imyaka ingahe?",
                "How old are you?",
                "Una umri gani?",
                "Quel âge avez-vous ?",
            ),
        ),
    ),
    FlowWords(
        "ANC Visit Reminder",
        1440,
        20,
        (
            _yes_no(
                "attended",
                "Attended",
                "Mwaba mwaragiye kwipimisha inda muri iki cyumweru?",
                "Did you attend your antenatal visit this week?",
                "Je, ulihudhuria kliniki ya wajawazito wiki hii?",
                "Êtes-vous allée à votre visite prénatale cette semaine ?",
            ),
            _number(
                "visits",
                "Visits So Far",
                8,
                "Mumaze kwipimisha inshuro zingahe?",
                "How many visits have you had so far?",
                "Umehudhuria mara ngapi hadi sasa?",
                "Combien de visites avez-vous faites jusqu'ici ?",
            ),
        ),
    ),
    FlowWords(
        "Postnatal Check",
        4320,
        12,
        (
            _yes_no(
                "fever",
                "Baby Has Fever",
                "Umwana afite umuriro?",
                "Does the baby have a fever?",
                "Je, mtoto ana homa?",
                "Le bébé a-t-il de la fièvre ?",
            ),
            _yes_no(
                "breastfeeding",
                "Breastfeeding",
                "Umwana arimo konka neza?",
                "Is the baby breastfeeding well?",
                "Je, mtoto ananyonya vizuri?",
                "Le bébé tète-t-il bien ?",
            ),
            _number(
                "weight",
                "Weight kg",
                12,
                "Umwana apima ibiro bingahe?",
                "How many kilograms does the baby weigh?",
                "Mtoto ana kilo ngapi?",
                "Combien de kilos pèse le bébé ?",
            ),
        ),
    ),
    FlowWords(
        "Vaccination «été»",
        2880,
        10,
        (
            _choice(
                "vaccine",
                "Vaccine",
                "BCG Polio Measles DTP",
                "Ni uruhe rukingo umwana aheruka guhabwa?",
                "Which vaccine did the child receive last?",
                "Mtoto alipata chanjo gani mara ya mwisho?",
                "Quel vaccin l'enfant a-t-il reçu en dernier ?",
            ),
        ),
    ),
    FlowWords(
        "Weekly Farm Report, North",
        720,
        16,
        (
            _choice(
                "crop",
                "Main Crop",
                "Maize Beans Potatoes Rice Coffee",
                "Mwahinze iki muri iki gihembwe?",
                "What is your main crop this season?",
                "Umelima zao gani msimu huu?",
                "Quelle est votre culture principale cette saison ?",
            ),
            _yes_no(
                "rain",
                "Rain This Week",
                "Imvura yaguye muri iki cyumweru?",
                "Did it rain this week?",
                "Mvua ilinyesha wiki hii?",
                "A-t-il plu cette semaine ?",
            ),
            _number(
                "bags",
                "Bags Harvested",
                40,
                "Mwasaruye imifuka ingahe?",
                "How many bags did you harvest?",
                "Umevuna magunia mangapi?",
                "Combien de sacs avez-vous récoltés ?",
            ),
        ),
    ),
    FlowWords(
        "Market Prices",
        360,
        12,
        (
            _choice(
                "product",
                "Product",
                "Maize Beans Potatoes Milk",
                "Murashaka igiciro cy'iki?",
                "Which product do you want the price of?",
                "Unataka bei ya bidhaa gani?",
                "De quel produit voulez-vous le prix ?",
            ),
        ),
    ),
    FlowWords(
        "Feedback 😀",
        1440,
        8,
        (
            _number(
                "score",
                "Score",
                10,
                "Mwaduha amanota angahe kuri 10? 😀",
                "How would you rate us out of 10? 😀",
                "Ungetupa alama ngapi kati ya 10? 😀",
                "Quelle note nous donnez-vous sur 10 ? 😀",
            ),
            Question(
                "comment",
                "Comment",
                (
                    "Hari icyo mwongeraho?",
                    "Anything you would like to add?",
                    "Kuna la kuongeza?",
                    "Quelque chose à ajouter ?",
                ),
                (("All Responses", THANKS),),
            ),
        ),
    ),
    FlowWords("Segment Update", 0, 0, (), kind="background"),
)

BROADCASTS = (
    (
        "Amahugurwa y'abahinzi azaba ku wa kabiri saa tatu.",
        "Farmer training is on Tuesday at 9 am.\nBring a notebook!",
        "Mafunzo ya wakulima ni Jumanne saa tatu asubuhi.",
        "La formation des agriculteurs a lieu mardi à 9 h.",
    ),
    (
        "Ikigo nderabuzima kizafunga ejo ku bw'umunsi mukuru.",
        "The health centre is closed tomorrow for the holiday.",
        "Kituo cha afya kitafungwa kesho kwa sababu ya sikukuu.",
        "Le centre de santé est fermé demain, jour férié.",
    ),
    (
        "Mwibuke kurara mu nzitiramibu buri joro 🦟",
        "Remember to sleep under a mosquito net every night 🦟",
        "Kumbuka kulala kwenye chandarua kila usiku 🦟",
        "N'oubliez pas de dormir sous une moustiquaire 🦟",
    ),
)

LABELS = ("Complaints", "Health, urgent", "Étiquette", "Prices", "Spam")
TOPICS = ("General", "Complaints, urgent", "Clinical Questions")
GLOBALS = {
    "org_name": "Ubuzima & Ubuhinzi",
    "clinic_phone": "+250788000111",
    "max_visits": "8",
    "greeting": 'Muraho "neza" 😀',
}
USERS = (
    ("admin@example.org", "Andrée", "Mukamana", "administrator"),
    ("editor@example.org", "Eric", "Otieno", "editor"),
    ("viewer@example.org", "Vestine", "", "viewer"),
    ("agent@example.org", "Grâce", "Wanjiru", "agent"),
    ("agent2@example.org", "Juma", "O'Neil", "agent"),
    ("surveyor@example.org", "Samuel", "", "surveyor"),
)
MANUAL_GROUPS = (
    "Pregnant Women",
    "New Mothers",
    "Farmers North",
    "Farmers South",
    "Community Health Workers",
    "Testers ✅",
)
SMART_GROUPS = {
    "Youth": "age < 25",
    "Overdue Visits": 'expected_delivery != "" AND last_visit = ""',
    "Unregistered": 'age = ""',
}
FIELDS = (
    ("gender", "Gender", "text"),
    ("age", "Age", "number"),
    ("expected_delivery", "Expected Delivery", "datetime"),
    ("last_visit", "Last Visit", "datetime"),
    ("children", "Children", "number"),
    ("province", "Province", "state"),
    ("district", "District", "district"),
    ("ward", "Ward", "ward"),
    ("crop", "Main Crop", "text"),
    ("farm_size", "Farm Size (ha)", "number"),
    ("health_facility", "Health Facility", "text"),
    ("phone_owner", "Phone Owner", "text"),
    ("registered_on", "Registered On", "datetime"),
    ("notes", "Notes", "text"),
)
CROPS = ("maize", "beans", "potatoes", "rice", "coffee", "")
FACILITIES = ("Kacyiru HC", "Hôpital de Ruhengeri", 'CS "Byumba"', "Remera, Rukoma", "")
