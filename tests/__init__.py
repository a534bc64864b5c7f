"""The tests; what pytest shows of a failed assertion, it shows of the helpers too."""

import pytest

pytest.register_assert_rewrite("tests.helpers")
