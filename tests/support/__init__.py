"""What the tests share: real servers, tiny bundles, faults. No test is in here."""
