"""Properties are checked without a deadline: a busy machine is no fault of the code."""

import hypothesis

hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")
