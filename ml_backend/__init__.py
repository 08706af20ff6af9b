"""Prelabel: a pre-annotation backend for Label Studio.

Packages from the bottom layer to the top; imports go down only:

========================  ==========================================================================================
errors, settings, …       the modules beside this one: errors, redaction, settings, metrics, logs and ``Detections``
``vocabularies``          class lists with hierarchies and synonyms
``http``                  bounded bodies, the address guard, causes of network errors
``label_studio``          formats and API of Label Studio: tasks, label configs, regions, tokens, events
``images``                from an image reference to bytes and pixels
``inference``             loads a model and runs it: pixels to detections
``cache``                 stores and their failures
``postprocessing``        from detections to the labels of a project
``pipeline``              from tasks to predictions
``bootstrap``             the bulk job
``feedback``              corrections: storing, evaluating and learning from them
``projects``              keeps connected projects current, and diagnoses them
``server``                the HTTP service
``demo``, ``model``       the demo; the adapter for the official runner
``cli``                   the commands
========================  ==========================================================================================
"""

__version__ = "0.1.0"
