"""Synonyms of Open Images class names.

The list has only words that mean the same everywhere. Words with a similar meaning (``Cup`` may be a coffee cup, a measuring cup or a mug)
belong into a project's ``predicted_values``, where a person decides.
"""

SYNONYMS = {
    # other words for people; Open Images knows Man, Woman, Boy and Girl as kinds of Person
    "Person": ("human", "human being", "people", "persons", "pedestrian"),
    # no country uses the name of the class
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
    # Open Images calls the instrument Musical keyboard
    "Computer keyboard": ("pc keyboard",),
    "Houseplant": ("potted plant",),
}
"""Other words by class name."""
