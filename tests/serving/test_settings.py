import pytest

from serving.errors import StartError
from serving.settings import Settings, read_settings
from serving.settings_help import settings_list


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


def test_a_flag_takes_precedence_over_its_variable_even_over_a_wrong_one():
    environ = {"SIZEWISE_PORT": "none", "SIZEWISE_HOST": "::1"}

    settings, _ = read_settings(environ, {"port": "9000"})

    assert (settings.port, settings.host) == (9000, "::1")


@pytest.mark.parametrize("flag", [("port", "0"), ("device", "tpu")])
def test_a_wrong_flag_is_named_as_a_flag(flag):
    with pytest.raises(StartError, match=rf"^--{flag[0]}: .* \(got '{flag[1]}'\)$"):
        read_settings({}, dict([flag]))


def test_the_help_lists_every_setting_with_its_default():
    listed = settings_list().split("  SIZEWISE_")[1:]

    assert [each.split()[0].lower() for each in listed] == list(Settings.model_fields)
    assert " ".join(listed[1].split()) == "PORT TCP port to listen on. Default: 8000."


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
