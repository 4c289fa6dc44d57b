import pytest

from serving.errors import StartError
from serving.settings import Settings, read_settings


def test_without_variables_every_setting_has_its_default():
    settings, injected = read_settings({"PATH": "/bin"})

    assert settings == Settings()
    assert injected == []


def test_values_are_read_and_converted():
    settings, _ = read_settings(
        {
            "SIZEWISE_PORT": "9000",
            "SIZEWISE_API_KEY": "a-long-secret",
            "SIZEWISE_VARIANTS": "small,medium",
        }
    )

    assert settings.port == 9000
    assert settings.variants == ("small", "medium")
    assert settings.api_key.get_secret_value() == "a-long-secret"


@pytest.mark.parametrize(
    ("environ", "named"),
    [
        ({"SIZEWISE_PROT": "1"}, "SIZEWISE_PROT is not a setting"),
        ({"SIZEWISE_PORT": "http"}, "SIZEWISE_PORT"),
        ({"SIZEWISE_PORT": "0"}, "SIZEWISE_PORT"),
        ({"SIZEWISE_DEVICE": "tpu"}, "SIZEWISE_DEVICE"),
        ({"SIZEWISE_MAX_TEXTS": "4096"}, "SIZEWISE_MAX_QUEUE_TEXTS"),
        ({"SIZEWISE_DEFAULT_DEADLINE_MS": "60001"}, "SIZEWISE_MAX_DEADLINE_MS"),
    ],
)
def test_a_wrong_variable_stops_the_start_and_is_named(environ, named):
    with pytest.raises(StartError, match=named):
        read_settings(environ)


def test_a_bad_api_key_is_not_shown():
    with pytest.raises(StartError) as refused:
        read_settings({"SIZEWISE_API_KEY": "short"})

    assert "short" not in str(refused.value).replace("too_short", "")
    assert "SIZEWISE_API_KEY" in str(refused.value)


def test_what_kubernetes_injects_for_services_is_ignored_and_told():
    environ = {
        "SIZEWISE_PORT": "tcp://10.0.0.7:80",
        "SIZEWISE_SERVICE_HOST": "10.0.0.7",
        "SIZEWISE_SERVICE_PORT_HTTP": "80",
        "SIZEWISE_PORT_80_TCP_ADDR": "10.0.0.7",
        "SIZEWISE_METRICS_PORT": "tcp://10.0.0.8:80",
    }

    settings, injected = read_settings(environ)

    assert settings == Settings()
    assert injected == sorted(environ)
