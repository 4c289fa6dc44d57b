"""The release on clusters of IPv4, of IPv6 and of both."""

from tests.support.helm import CHART, container, objects, of_file
from tests.support.processes import ROOT


def test_the_service_has_the_families_of_the_cluster_unless_it_is_told():
    def families(service):
        spec = objects({"service": service})["Service", "shop-sizewise"]["spec"]
        return spec.get("ipFamilyPolicy"), spec.get("ipFamilies")

    assert families({}) == (None, None)
    assert families({"ipFamilyPolicy": "SingleStack", "ipFamilies": ["IPv6"]}) == (
        "SingleStack",
        ["IPv6"],
    )
    both = {"ipFamilyPolicy": "RequireDualStack", "ipFamilies": ["IPv6", "IPv4"]}
    assert families(both) == ("RequireDualStack", ["IPv6", "IPv4"])


def test_the_probes_ask_the_pods_own_address_of_either_family():
    found = of_file(CHART / "ci" / "everything-values.yaml")
    server = container(found)
    probes = [server[name]["httpGet"] for name in server if name.endswith("Probe")]

    assert len(probes) == 3
    assert all("host" not in probe for probe in probes)
    # The image listens on it, and the chart leaves that to the image.
    assert "SIZEWISE_HOST=:: " in (ROOT / "Dockerfile").read_text()
    assert "SIZEWISE_HOST" not in {each["name"] for each in server["env"]}
