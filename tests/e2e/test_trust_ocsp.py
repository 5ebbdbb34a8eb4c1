#!/usr/bin/env python3
"""OCSP through the milter: what responders say, what they should not say, and who may say it (RFC 6960)."""

from harness import main
from trustca import DAY, HOUR, Key, cdp, extension, now, ocsp_error, single
from trustnet import Ocsp, OpensslOcsp, body, dead_url, hang, reset, status
from trustworld import DEFAULTS, World, minutes

CLOSERS = []
WORLD = []
BUDGET_S = float(DEFAULTS["facts_timeout"].rstrip("s"))
CRITICAL = extension("1.3.6.1.4.1.99999.1", b"\5\0", critical=True)
HARMLESS = extension("1.3.6.1.4.1.99999.1", b"\5\0")


def world():
    if not WORLD:
        WORLD.append(World("ocsp"))
        CLOSERS.append(WORLD[0].close)
    return WORLD[0]


class Case:
    """An authority with a responder and a person whose status only that responder knows."""

    def __init__(self, w, label, person="good", path=None):
        self.w, self.ca = w, w.issuer(label)
        self.path = path or f"/ocsp-{self.ca.common.replace(' ', '-')}"
        self.ocsp = Ocsp(w.http, self.path, self.ca)
        self.bob = w.person(self.ca, crl=None, ocsp=[self.ocsp.url])
        self.ocsp.statuses[self.bob.serial] = person

    def message(self):
        return self.w.sign(self.bob, self.ca.certificate)


def both(cert_id, _):
    return [single(cert_id, "good", next_=now() + HOUR), single(cert_id, ("revoked", now() - HOUR), next_=now() + HOUR)]


def other_certificate(cert_id, _):
    # The serial number is at its end.
    return [single(cert_id[:-1] + bytes([cert_id[-1] ^ 1]), "good", next_=now() + HOUR)]


def critical_single(cert_id, _):
    return [single(cert_id, "good", next_=now() + HOUR, extensions=[CRITICAL])]


def critical_answer(case):
    case.ocsp.extensions = [CRITICAL]


def harmless_answer(case):
    case.ocsp.extensions = [HARMLESS]


def say(function):
    def setup(case):
        case.ocsp.say = function
    return setup


def life(this, next_):
    def setup(case):
        case.ocsp.this, case.ocsp.life = now() + this, next_ - this
        case.ocsp.produced = min(now(), now() + this)
    return setup


def produced_in_future(case):
    case.ocsp.produced = now() + DAY


def foreign_signer(case):
    case.ocsp.signer = Key(case.w.folder / f"foreign-{id(case)}.key")


def delegate(**more):
    def setup(case):
        case.ocsp.signer = Key(case.w.folder / f"delegate-{id(case)}.key")
        case.ocsp.certificates = [case.ca.ocsp_signer(case.ocsp.signer, **more).der]
    return setup


def delegate_of_another(case):
    other = case.w.issuer("other")
    case.ocsp.signer = Key(case.w.folder / f"delegate-{id(case)}.key")
    case.ocsp.certificates = [other.ocsp_signer(case.ocsp.signer).der]


def delegate_without_purpose(case):
    key = case.ocsp.signer = Key(case.w.folder / f"delegate-{id(case)}.key")
    case.ocsp.certificates = [case.ca.user(None, key, common="no responder").der]


def answer(what):
    def setup(case):
        case.w.http.put(case.path, what)
        case.w.http.paths[case.path + "/*"] = case.w.http.paths[case.path]
    return setup


# (name, status, what is done to the responder, result, reasons)
CASES = [
    ("good", "good", None, "pass", None),
    ("revoked", ("revoked", now() - DAY), None, "fail", ("revoked",)),
    ("unknown", "unknown", None, "temperror", ("ocsp-unknown",)),
    ("expired", "good", life(-2 * DAY, -DAY), "temperror", ("ocsp-expired",)),
    ("from the future", "good", life(DAY, 2 * DAY), "temperror", ("ocsp-not-yet-valid", "ocsp-invalid")),
    ("produced in the future", "good", produced_in_future, "temperror", ("ocsp-not-yet-valid", "ocsp-invalid")),
    ("contradiction", "good", say(both), "temperror", ("ocsp-invalid", "revoked")),
    ("critical extension of one", "good", say(critical_single), "temperror", ("ocsp-invalid",)),
    ("critical extension of all", "good", critical_answer, "temperror", ("ocsp-invalid",)),
    ("other extension", "good", harmless_answer, "pass", None),
    ("another certificate", "good", say(other_certificate), "temperror", ("ocsp-wrong-certificate",)),
    ("foreign signer", "good", foreign_signer, "temperror", ("ocsp-signer", "ocsp-invalid")),
    ("delegate", "good", delegate(), "pass", None),
    ("delegate, revoked", ("revoked", now() - DAY), delegate(), "fail", ("revoked",)),
    ("delegate of another", "good", delegate_of_another, "temperror", ("ocsp-signer",)),
    ("delegate without the purpose", "good", delegate_without_purpose, "temperror", ("ocsp-signer",)),
    ("delegate that has expired", "good", delegate(first=now() - 9 * DAY, last=now() - DAY), "temperror", ("ocsp-signer",)),
    ("try later", "good", answer(body(ocsp_error(3))), "temperror", ("ocsp-unavailable",)),
    ("unauthorized", "good", answer(body(ocsp_error(6))), "temperror", ("ocsp-unavailable",)),
    ("garbage", "good", answer(body(b"\0garbage" * 40)), "temperror",
     ("ocsp-invalid", "revocation-unavailable", "ocsp-unavailable")),
    ("too long", "good", answer(body(b"\x30\x82" + bytes(40000))), "temperror",
     ("ocsp-unavailable", "revocation-unavailable", "ocsp-invalid")),
    ("not there", "good", answer(status("404 Not Found")), "temperror", ("ocsp-unavailable", "revocation-unavailable")),
    ("broken", "good", answer(reset(b"x" * 100)), "temperror", ("ocsp-unavailable", "revocation-unavailable")),
    ("silent", "good", answer(hang()), "temperror", ("ocsp-unavailable", "revocation-unavailable")),
]


def test_every_answer_has_its_verdict():
    w = world()
    problems = []
    cases = [(Case(w, f"ocsp{i}", person), *rest) for i, (_, person, *rest) in enumerate(CASES)]
    for case, setup, _, _ in cases:
        if setup:
            setup(case)
    with w.gateway() as gateway:
        for (name, *_), (case, _, result, reasons) in zip(CASES, cases):
            verdict = gateway.receive(case.message())
            # What OCSP contradicts itself about may be called revoked; it is never good.
            results = (result, "fail") if name == "contradiction" else (result,)
            if verdict.result not in results or (reasons and verdict.reason not in reasons):
                problems.append(f"{name}: expected {result} {reasons}, got {verdict}")
            if verdict.seconds > BUDGET_S + 2:
                problems.append(f"{name}: took {verdict.seconds:.1f} s")
            if case.w.http.count(case.path) + case.w.http.count(case.path + "/*") == 0:
                problems.append(f"{name}: the responder was not asked")
    assert not problems, "\n".join(problems)


def test_outbound_too_and_asked_once():
    w = world()
    good, bad, late = Case(w, "out good"), Case(w, "out bad", ("revoked", now() - DAY)), Case(w, "out late")
    answer(body(ocsp_error(3)))(late)
    people = []
    for case, address in ((good, "good@partner.example"), (bad, "bad@partner.example"), (late, "late@partner.example")):
        case.bob = w.person(case.ca, address, crl=None, ocsp=[case.ocsp.url])
        case.ocsp.statuses[case.bob.serial] = "good" if case is not bad else ("revoked", now() - DAY)
        people.append(case.bob)
    with w.gateway(recipients=people) as gateway:
        for _ in range(3):
            assert gateway.send("good@partner.example").code == 250, gateway.text()
            verdict = gateway.send("bad@partner.example")
            assert verdict.code == 550 and "revoked" in verdict.text, verdict
            assert gateway.send("late@partner.example").code == 451, gateway.text()
        assert good.ocsp.count == bad.ocsp.count == 1, w.http.asked


def test_get_where_it_fits_and_post_where_not():
    w = world()
    short, long = Case(w, "get"), Case(w, "post", path="/ocsp-" + "long" * 60)
    with w.gateway() as gateway:
        w.http.forget()
        for case, method in ((short, "GET"), (long, "POST")):
            assert gateway.receive(case.message()).result == "pass", gateway.text()
            seen = [r.method for r in w.http.requests if r.target.startswith(case.path)]
            assert seen == [method], (method, seen)


def test_openssl_as_the_responder():
    w = world()
    sub = w.issuer("openssl")
    key = Key(w.folder / "openssl-ocsp.key", kind="rsa")
    serials = {"good": 770001, "revoked": 770002, "unknown": 770003}
    certificates = {}

    class Named:
        def __init__(self, serial):
            self.serial = serial

    responder = OpensslOcsp(w.scratch, sub, key, good=[Named(serials["good"])], revoked=[Named(serials["revoked"])])
    for word, serial in serials.items():
        certificates[word] = w.person(sub, f"{word}@partner.example", crl=None, ocsp=[responder.url], serial=serial)
    with w.gateway() as gateway:
        for word, result, reason in (("good", "pass", "ok"), ("revoked", "fail", "revoked"),
                                     ("unknown", "temperror", "ocsp-unknown")):
            verdict = gateway.receive(w.sign(certificates[word], sub.certificate, sender=f"{word}@partner.example"))
            assert verdict.result == result and verdict.reason == reason, verdict


def test_good_of_ocsp_stands_for_a_missing_crl_and_the_order_is_kept():
    w = world()
    problems = []
    case = Case(w, "order")
    well = w.url(case.ca)
    statuses = {"good": "good", "revoked": ("revoked", now() - DAY), "unknown": "unknown"}
    # (methods, CRL, what OCSP says, result, is OCSP asked)
    table = [("crl-ocsp", dead_url(), "good", "pass", True), ("crl-ocsp", dead_url(), "revoked", "fail", True),
             ("crl-ocsp", dead_url(), "unknown", "temperror", True), ("crl-ocsp", well, "revoked", "pass", False),
             ("ocsp-crl", well, "revoked", "fail", True), ("ocsp-crl", well, "unknown", "pass", True),
             ("ocsp-crl", dead_url(), "good", "pass", True), ("crl", dead_url(), "good", "temperror", False),
             ("crl", well, "revoked", "pass", False), ("ocsp", dead_url(), "good", "pass", True),
             ("ocsp", well, "unknown", "temperror", True)]
    for methods, crl, word, result, asked in table:
        bob = w.person(case.ca, crl=[crl], ocsp=[case.ocsp.url])
        case.ocsp.statuses[bob.serial] = statuses[word]
        # The authority above has a CRL alone: with `ocsp` its status is held in a folder.
        folder = w.scratch.folder("order-crls")
        (folder / "root.crl").write_bytes(w.root.crl())
        trust = f'trust "default" {{\n    anchors = "{w.anchors}"\n    crls = "{folder}"\n}}\n'
        with w.gateway(trust=trust, revocation_methods=methods) as gateway:
            before = case.ocsp.count
            verdict = gateway.receive(w.sign(bob, case.ca.certificate))
            if verdict.result != result or (case.ocsp.count > before) != asked:
                problems.append(f"{methods}, CRL {'well' if crl == well else 'dead'}, OCSP {word}: expected {result}, "
                                f"got {verdict}; asked: {case.ocsp.count > before}")
    assert not problems, "\n".join(problems)


def test_a_maximum_age_of_answers():
    w = world()
    case = Case(w, "age")
    case.ocsp.this, case.ocsp.life = now() - minutes(90), 7 * DAY
    crl = w.issuer("crl age", publish=False)
    w.publish(crl, this=now() - minutes(90))
    bob = w.person(crl)
    for limit, result in (("1h", "temperror"), ("3h", "pass")):
        # The root's list is a minute old.
        w.publish(w.root, "/root.crl")
        with w.gateway(ocsp_max_age=limit, crl_max_age=limit) as gateway:
            verdict = gateway.receive(case.message())
            assert verdict.result == result, (limit, verdict)
            assert result == "pass" or verdict.reason == "ocsp-expired", verdict
            verdict = gateway.receive(w.sign(bob, crl.certificate))
            assert verdict.result == result, (limit, verdict)
            assert result == "pass" or verdict.reason == "crl-expired", verdict


def test_a_responder_that_is_revoked_or_unknown_itself():
    w = world()
    problems = []
    # Without nocheck its own status counts (RFC 6960 4.2.2.2.1).
    for name, revoked, result in (("well", False, "pass"), ("revoked", True, "temperror")):
        case = Case(w, f"responder {name}")
        key = case.ocsp.signer = Key(w.folder / f"responder-{name}.key")
        signer = case.ca.ocsp_signer(key, extensions=[cdp(w.url(case.ca))])
        case.ocsp.certificates = [signer.der]
        if revoked:
            case.ca.revoke(signer)
            w.publish(case.ca)
        with w.gateway() as gateway:
            verdict = gateway.receive(case.message())
            if verdict.result != result:
                problems.append(f"{name}: expected {result}, got {verdict}")
    assert not problems, "\n".join(problems)


if __name__ == "__main__":
    main(globals())
