import stat

import pytest

from models.__main__ import main
from tests.support.bundles import write_bundle


@pytest.fixture
def bundle(tmp_path):
    write_bundle(tmp_path / "tone" / "tiny")
    return tmp_path / "tone" / "tiny"


def test_keys_are_made_once_and_only_their_owner_reads_the_private_one(tmp_path, capsys):
    name = str(tmp_path / "team")

    assert main(["keygen", name]) == 0
    private = (tmp_path / "team.private.pem").read_bytes()
    assert main(["keygen", name]) == 2

    assert "team.private.pem" in capsys.readouterr().err
    assert (tmp_path / "team.private.pem").read_bytes() == private
    assert stat.S_IMODE((tmp_path / "team.private.pem").stat().st_mode) == 0o600


def test_what_was_signed_is_verified_until_it_changes(tmp_path, bundle, capsys):
    main(["keygen", str(tmp_path / "team")])
    verify = ["verify", str(tmp_path / "tone"), "--trusted-keys", str(tmp_path / "team.pem")]
    assert main(verify) == 2
    said = capsys.readouterr().err
    assert "is not signed, and --trusted-keys is set" in said
    assert "SIZEWISE_TRUSTED_KEYS" not in said

    key = str(tmp_path / "team.private.pem")
    assert main(["sign", str(tmp_path / "tone"), "--key", key]) == 0
    assert main(verify) == 0
    assert f"{bundle} is signed and whole" in capsys.readouterr().out

    (bundle / "tokenizer.json").write_text("{}")
    assert main(verify) == 2
    assert "tokenizer.json does not match" in capsys.readouterr().err


def test_a_broken_bundle_is_not_signed(tmp_path, bundle, capsys):
    main(["keygen", str(tmp_path / "team")])
    (bundle / "model.onnx").write_bytes(b"broken")

    assert main(["sign", str(bundle), "--key", str(tmp_path / "team.private.pem")]) == 2

    assert "does not match" in capsys.readouterr().err
    assert not (bundle / "manifest.json.sig").exists()


def test_a_public_key_does_not_sign_and_an_empty_folder_has_nothing_to_sign(
    tmp_path, bundle, capsys
):
    main(["keygen", str(tmp_path / "team")])
    (tmp_path / "empty").mkdir()

    assert main(["sign", str(bundle), "--key", str(tmp_path / "team.pem")]) == 2
    assert "is not a private key" in capsys.readouterr().err
    key = str(tmp_path / "team.private.pem")
    assert main(["sign", str(tmp_path / "empty"), "--key", key]) == 2
    assert "holds no bundle" in capsys.readouterr().err
