#!/usr/bin/env python3
"""NIST PKITS (corpus pkits): all 247 sub-tests as NIST says, from the messages through `smimectl verify`, and from lists of
certificates and CRLs through `smimectl path`: the code that the milter uses."""

import concurrent.futures
import csv
import json

from harness import corpus, main, smimectl

AT = "1700000000"  # inside the validity of all that the suite wants valid
POLICY = "2.16.840.1.101.3.2.1.48."


def judge(rows, command):
    """Runs command(row) for each, two at a time; (row, object) of the JSON."""
    def run_one(row):
        done = smimectl(*command(row))
        assert done.returncode in (0, 1, 3), (row, done.stderr)
        return row, json.loads(done.stdout)
    with concurrent.futures.ThreadPoolExecutor(max_workers=2) as pool:
        return list(pool.map(run_one, rows))


def test_every_message_has_the_verdict_of_nist():
    folder = corpus("pkits")
    with (folder / "pkits-smime-expected-merged.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 247

    def command(row):
        words = row["cli_policy_args"].split()
        policy = []
        for word in words:
            word = {"-policy": "--policy", "-explicit_policy": "--explicit-policy", "-inhibit_any": "--inhibit-any-policy",
                    "-inhibit_map": "--inhibit-policy-mapping"}.get(word, word)
            policy.append(word)
        return ("verify", "--json", "--anchors", folder / "certs/TrustAnchorRootCertificate.crt", "--at", AT, "--offline",
                "--allow-weak", *policy, "--", folder / "smime" / row["eml"])
    wrong = [(row["num"], row["nist_verdict"], found["path"], found["signature"], found["text"])
             for row, found in judge(rows, command)
             if (found["path"] == "ok") != (row["nist_verdict"] == "accept")]
    assert not wrong, f"{len(wrong)} of 247:\n" + "\n".join(map(str, wrong))
    print("# 247 of 247 messages as NIST says")


def test_every_list_has_the_verdict_of_nist():
    folder = corpus("pkits")
    rows = json.loads((folder / "boringssl-pkits-expected.json").read_text())
    assert len(rows) == 249  # two sub-tests more, of which NIST's table makes one each

    def command(row):
        certs = [folder / "certs" / c for c in row["certs"]]
        policies = [p.replace("NIST-test-policy-", POLICY) for p in row["InitialPolicySet"].split(",") if p]
        return ("path", "--json", "--anchors", folder / "certs/TrustAnchorRootCertificate.crt", "--at", AT, "--offline",
                "--allow-weak", *(["--untrusted", *certs[:-1]] if len(certs) > 1 else []),
                "--crl", *[folder / "crls" / c for c in row["crls"]],
                *(["--policy", *policies] if policies else []),
                *(["--explicit-policy"] if row["InitialExplicitPolicy"] else []),
                *(["--inhibit-policy-mapping"] if row["InitialPolicyMappingInhibit"] else []),
                *(["--inhibit-any-policy"] if row["InitialInhibitAnyPolicy"] else []), "--", certs[-1])
    wrong = [(row["subnum"], row["should_validate"], found["reason"], found["text"])
             for row, found in judge(rows, command) if (found["result"] == "ok") != row["should_validate"]]
    assert not wrong, f"{len(wrong)} of 249:\n" + "\n".join(map(str, wrong))
    print("# 249 of 249 lists as NIST says")


if __name__ == "__main__":
    main(globals())
