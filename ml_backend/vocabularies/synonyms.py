"""Words that people use for an Open Images class that is called otherwise.

Only words that mean the same thing everywhere. What is merely near (``Cup`` is a coffee cup, a measuring cup and a mug) belongs into a
project's ``predicted_values``, where a person decides. Nothing is guessed at run time.
"""

from ml_backend.vocabularies.open_images import fold

_SYNONYMS = {
    # other words for people; Open Images knows Man, Woman, Boy and Girl as kinds of Person
    "Person": ("human", "human being", "people", "persons", "pedestrian"),
    # the official word of no country
    "Vehicle registration plate": ("license plate", "licence plate", "number plate", "registration plate", "car plate"),
    # short or regional names of the same thing
    "Mobile phone": ("cell phone", "cellular phone", "smartphone"),
    "Television": ("tv", "television set", "tv monitor"),
    "Motorcycle": ("motorbike",),
    "Airplane": ("aeroplane", "plane"),
    "Bicycle": ("bike", "pushbike"),
    "Truck": ("lorry",),
    "Traffic light": ("traffic lights", "traffic signal", "stoplight"),
    "Microwave oven": ("microwave",),
    "Remote control": ("remote", "tv remote"),
    "Hair dryer": ("hair drier",),
    "Flying disc": ("frisbee",),
    "Doughnut": ("donut",),
    "Ski": ("skis",),
    # the species has one word for one animal and another for many
    "Cattle": ("cow", "cows"),
    # the computer's own, as people call them in pictures of desks
    "Computer keyboard": ("pc keyboard",),
    "Houseplant": ("potted plant",),
}

CLASS_NAME_BY_SYNONYM = {fold(word): name for name, words in _SYNONYMS.items() for word in words}
"""Class names by folded synonym."""
