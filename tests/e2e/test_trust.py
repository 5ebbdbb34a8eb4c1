#!/usr/bin/env python3
"""Trust over the network, through the milter: issuers by AIA, CRLs from servers that are well and that are not, each with
its verdict and within the budget; CRLs inside a message; trust sets by rule; CRLs in a directory."""

from der import context, named_bits, sequence
from harness import main
from trustca import DAY, HOUR, Ca, aia, cdp, extension, freshest, idp, now, p7c, uri
from trustnet import body, dead_url, hang, huge, late, redirect, reset, slow, status
from trustservers import Slapd
from trustworld import CRL_TYPE, DEFAULTS, World

CLOSERS = []
WORLD = []
BUDGET_S = float(DEFAULTS["facts_timeout"].rstrip("s"))


def world():
    if not WORLD:
        WORLD.append(World())
        CLOSERS.append(WORLD[0].close)
    return WORLD[0]


def expect(problems, name, verdict, result, reasons=None, code=None):
    """Notes what is not as it should be; a budget that was exceeded too."""
    reasons = (reasons,) if isinstance(reasons, str) else reasons
    if (result and verdict.result != result) or (code and verdict.code != code) or (reasons and verdict.reason not in reasons):
        problems.append(f"{name}: expected {result or code} {reasons}, got {verdict}")
    if verdict.seconds > BUDGET_S + 2:
        problems.append(f"{name}: took {verdict.seconds:.1f} s")


# ---- issuers -----------------------------------------------------------------------------------


def test_two_missing_intermediates_are_fetched_once():
    w = world()
    mid = w.issuer("mid")
    sub = w.issuer("sub", mid)
    # The first as DER, the second in a .p7c beside a stranger's.
    stranger = Ca(w.folder, "stranger", key=next(w.keys))
    w.http.put("/mid.p7c", body(p7c(stranger.certificate.der, mid.certificate.der), "application/pkcs7-mime"))
    low = w.issuer("low", mid, extensions=[cdp(w.url(mid)), aia([w.http.base + "/mid.p7c"])])
    bob, carol = w.person(sub), w.person(low, "carol@partner.example")
    with w.gateway(recipients=[bob, carol]) as gateway:
        w.http.forget()
        for person, sender in ((bob, "bob@partner.example"), (carol, "carol@partner.example")):
            verdict = gateway.receive(w.sign(person, sender=sender))
            assert verdict.result == "pass", verdict
            verdict = gateway.send(sender)
            assert verdict.code == 250, verdict
        for path in (f"/{sub.common.replace(' ', '-')}.cer", f"/{low.common.replace(' ', '-')}.cer", "/mid.p7c"):
            assert w.http.count(path) == 1, (path, w.http.asked)
        requests = w.http.count()
        verdict = gateway.receive(w.sign(bob))
        assert verdict.result == "pass" and w.http.count() == requests, (verdict, w.http.asked)


def test_issuers_come_as_pem_and_by_redirect():
    w = world()
    sub = w.issuer("pem")
    path = w.http.put("/issuer.pem", body(sub.certificate.pem, "application/x-pem-file"))
    w.http.put("/moved.cer", redirect(path))
    for url in (path, w.http.base + "/moved.cer"):
        bob = w.person(sub, issuers=[url])
        with w.gateway() as gateway:
            verdict = gateway.receive(w.sign(bob))
            assert verdict.result == "pass", verdict


def test_issuers_that_do_not_help_are_no_path():
    w = world()
    problems = []
    other = Ca(w.folder, "another root", key=next(w.keys))
    sub = w.issuer("below another", other, extensions=[aia([w.http.put("/other.cer", other.certificate.der)])])
    # A root that comes by AIA is no anchor, and circles end.
    w.http.put(f"/{sub.common.replace(' ', '-')}.cer", sub.certificate.der)
    loop = Ca(w.folder, "loop", key=next(w.keys))
    pool = Ca(w.folder, "pool", loop, extensions=[aia([w.http.base + "/loop.cer"])], key=next(w.keys))
    w.http.put("/loop.cer", pool.issue_ca(loop, [aia([w.http.base + "/pool.cer"])]).der)
    w.http.put("/pool.cer", pool.certificate.der)
    lost = w.issuer("lost")
    # (name, who, what is said): an answer that is no certificate is final, and so is a 404; silence is temporary.
    cases = [("unknown root", w.person(sub), ("fail",)), ("circle", w.person(pool, issuers=[w.http.base + "/pool.cer"]), ("fail",)),
             ("no such issuer", w.person(lost, issuers=[w.http.base + "/nowhere.cer"]), ("fail",)),
             ("garbage", w.person(lost, issuers=[w.http.put("/garbage.cer", b"\0garbage" * 99)]), ("fail", "temperror")),
             ("wrong issuer", w.person(lost, issuers=[w.http.put("/wrong.cer", other.certificate.der)]), ("fail",)),
             ("dead server", w.person(lost, issuers=[dead_url("/x.cer")]), ("temperror",)),
             ("silent server", w.person(lost, issuers=[w.http.put("/silent.cer", hang())]), ("temperror",))]
    with w.gateway() as gateway:
        for name, person, results in cases:
            verdict = gateway.receive(w.sign(person))
            if verdict.result not in results:
                problems.append(f"{name}: {verdict}")
            if verdict.seconds > BUDGET_S + 2:
                problems.append(f"{name}: {verdict.seconds} s")
    assert not problems, "\n".join(problems)


def test_cross_signed_authorities_lead_to_the_anchor_that_is_there():
    w = world()
    # New root, not an anchor, cross-signed by the old one; the certificate of the chain leads to the new one.
    new = Ca(w.folder, "new root", key=next(w.keys))
    cross = w.root.issue_ca(new, [cdp(w.url(w.root))])
    w.http.put("/cross.p7c", body(p7c(new.certificate.der, cross.der), "application/pkcs7-mime"))
    sub = w.issuer("sub of new", new, extensions=[cdp(w.url(new)), aia([w.http.base + "/cross.p7c"])])
    w.publish(new)
    bob = w.person(sub)
    with w.gateway() as gateway:
        assert gateway.receive(w.sign(bob)).result == "pass", gateway.text()
        assert gateway.receive(w.sign(bob, sub.certificate, new.certificate)).result == "pass", gateway.text()


# ---- revocation --------------------------------------------------------------------------------


def test_revoked_leaves_and_revoked_intermediates_are_refused():
    w = world()
    mid = w.issuer("mid")
    sub, bad = w.issuer("sub", mid), w.issuer("revoked sub", mid)
    good, revoked, below = (w.person(ca, f"{n}@partner.example") for ca, n in ((sub, "good"), (sub, "revoked"), (bad, "below")))
    sub.revoke(revoked)
    mid.revoke(bad.certificate, reason="cACompromise")
    w.publish(sub)
    w.publish(mid)
    with w.gateway(recipients=[good, revoked, below]) as gateway:
        assert gateway.receive(w.sign(good, sender="good@partner.example")).result == "pass", gateway.text()
        assert gateway.send("good@partner.example").code == 250, gateway.text()
        for person, address in ((revoked, "revoked@partner.example"), (below, "below@partner.example")):
            verdict = gateway.receive(w.sign(person, sender=address))
            assert verdict.result == "fail" and verdict.reason == "revoked", verdict
            verdict = gateway.send(address)
            assert verdict.code == 550 and "revoked" in verdict.text and address in verdict.text, verdict


def test_delta_crls_and_partitions_count():
    w = world()
    sub = w.issuer("delta", publish=False)
    delta_url = w.http.base + "/the.delta"
    good = w.person(sub, "good@partner.example", extensions=[freshest(delta_url)])
    bad = w.person(sub, "bad@partner.example", extensions=[freshest(delta_url)])
    held = w.person(sub, "held@partner.example", extensions=[freshest(delta_url)])
    sub.revoke(held, reason="certificateHold")
    w.publish(sub, number=20)
    sub.revoke(bad)
    w.http.put("/the.delta", body(sub.crl(number=21, base=20, revoked=[(bad.serial, now() - HOUR, "keyCompromise"),
                                                                      (held.serial, now() - HOUR, "removeFromCRL")]), CRL_TYPE))
    # A partition by reasons: one list for compromise, one for the rest.
    parts = w.issuer("parts", publish=False)
    urls = [w.http.base + "/compromise.crl", w.http.base + "/rest.crl"]
    moved = parts.user("moved@partner.example", next(w.keys), [aia([w.url(parts, "cer")]), two_points(urls)])
    fine = parts.user("fine@partner.example", next(w.keys), [aia([w.url(parts, "cer")]), two_points(urls)])
    w.http.put("/compromise.crl", body(parts.crl(extensions=[idp(urls[0], reasons=(1, 2))], revoked=[]), CRL_TYPE))
    w.http.put("/rest.crl", body(parts.crl(extensions=[idp(urls[1], reasons=(3, 4, 5, 6, 7, 8))], revoked=[
        (moved.serial, now() - HOUR, "superseded")]), CRL_TYPE))
    problems = []
    with w.gateway() as gateway:
        for name, person, result in (("good", good, "pass"), ("bad", bad, "fail"), ("held", held, "pass"), ("moved", moved, "fail"),
                                     ("fine", fine, "pass")):
            expect(problems, name, gateway.receive(w.sign(person, sender=f"{name}@partner.example")), result,
                   "revoked" if result == "fail" else None)
        # Half of the reasons alone is no status.
        w.http.put("/rest.crl", status("404 Not Found"))
    with w.gateway() as gateway:
        expect(problems, "half", gateway.receive(w.sign(fine, sender="fine@partner.example")), "temperror")
    assert not problems, "\n".join(problems)


def two_points(urls):
    """Distribution points of which each covers some of the reasons."""
    groups = ((urls[0], (1, 2)), (urls[1], (3, 4, 5, 6, 7, 8)))
    return extension("2.5.29.31", sequence(*[sequence(context(0, context(0, uri(url))), context(
        1, named_bits(*reasons)[2:], constructed=False)) for url, reasons in groups]))


def test_crl_servers_in_every_bad_state_within_the_budget():
    w = world()
    problems = []
    # name: (what the URL does, reason words that fit)
    mute = w.issuer("no crl sign", usage=("keyCertSign",), publish=False)
    sub = w.issuer("ill", publish=False)
    crl = sub.crl()
    old = sub.crl(this=now() - 3 * DAY, next_=now() - 2 * DAY)
    foreign = Ca(w.folder, sub.common, key=next(w.keys)).crl()
    unknown = ("revocation-unavailable",)
    cases = {
        "dead": (None, unknown),
        "silent": (hang(), unknown),
        "slow": (slow(crl), unknown),
        "resetting": (reset(crl), unknown),
        "garbage": (body(b"\0\1garbage" * 500, CRL_TYPE), unknown + ("crl-invalid",)),
        "html": (body(b"<html>login</html>", "text/html"), unknown + ("crl-invalid",)),
        "empty": (body(b"", CRL_TYPE), unknown),
        "cut": (body(crl[:-20], CRL_TYPE), unknown + ("crl-invalid",)),
        "more": (body(crl + b"\0", CRL_TYPE), unknown + ("crl-invalid",)),
        "gzip": (body(crl, CRL_TYPE, fields=["Content-Encoding: gzip"]), unknown),
        "404": (status("404 Not Found"), unknown + ("revocation-unknown",)),
        "500": (status("500 Internal Server Error"), unknown),
        "circle": ("circle", unknown),
        "200 MB": (huge(), unknown),
        "200 MB announced": (huge(chunked=False), unknown),
        "old": (body(old, CRL_TYPE), ("crl-expired",)),
        "future": (body(sub.crl(this=now() + DAY), CRL_TYPE), unknown + ("crl-invalid", "crl-expired")),
        "foreign": (body(foreign, CRL_TYPE), unknown + ("crl-invalid",)),
        "of the root": (body(w.root.crl(), CRL_TYPE), ("revocation-unknown", "crl-invalid")),
        "no cRLSign": (body(mute.crl(), CRL_TYPE), unknown + ("crl-invalid",)),
    }
    people = {}
    for i, (name, (answer, _)) in enumerate(cases.items()):
        path = f"/ill-{i}.crl"
        url = dead_url() if answer is None else w.http.put(path, redirect(w.http.base + path) if answer == "circle" else answer)
        people[name] = w.person(mute if name == "no cRLSign" else sub, f"p{i}@partner.example", crl=[url])
    with w.gateway(recipients=people.values()) as gateway:
        for i, (name, (answer, reasons)) in enumerate(cases.items()):
            address = f"p{i}@partner.example"
            first = gateway.receive(w.sign(people[name], sender=address))
            expect(problems, name, first, "temperror", reasons)
            # Who comes second does not wait for what the first found dead.
            second = gateway.send(address)
            expect(problems, f"{name}, outbound", second, None, reasons, 451)
            if second.wait_ms > 1000:
                problems.append(f"{name}: the second message waited too: {second}")
        held = gateway.status("VmHWM") // 1024
    assert w.http.sent < 150 << 20, f"{w.http.sent >> 20} MB of the 400 were taken"
    print(f"# highest resident memory {held} MB")
    assert not problems, "\n".join(problems)


def test_odd_crls():
    """Scope, version and form: what a list must say to be believed (RFC 5280 5.1.2, 5.2.5)."""
    w = world()
    problems = []
    sub = w.issuer("odd", publish=False)
    unknown = extension("1.3.6.1.4.1.99999.2", b"\5\0", critical=True)
    # name: (the CRL of a URL, result, is it the list that cannot be used)
    cases = {
        "the point's own name": (lambda url: sub.crl(extensions=[idp(url)]), "pass"),
        "another name": (lambda url: sub.crl(extensions=[idp(url + ".other")]), "temperror"),
        "users alone": (lambda url: sub.crl(extensions=[idp(url, only_users=True)]), "pass"),
        "authorities alone": (lambda url: sub.crl(extensions=[idp(url, only_cas=True)]), "temperror"),
        "attributes alone": (lambda url: sub.crl(extensions=[idp(only_attributes=True)]), "temperror"),
        "some reasons": (lambda url: sub.crl(extensions=[idp(url, reasons=(1,))]), "temperror"),
        "unknown critical extension": (lambda url: sub.crl(extensions=[unknown]), "temperror"),
        "version 1, bare": (lambda url: sub.crl(odd=("v1", "bare")), "pass"),
        "version 1 with extensions": (lambda url: sub.crl(odd=("v1",)), "temperror"),
        "no next update": (lambda url: sub.crl(odd=("open",)), "pass"),
        "no next update, two days old": (lambda url: sub.crl(this=now() - 2 * DAY, odd=("open",)), "temperror"),
        "a delta in the place of a list": (lambda url: sub.crl(base=1), "temperror"),
        "next before this": (lambda url: sub.crl(this=now() - HOUR, next_=now() - 2 * HOUR), "temperror"),
        "serial of another": (lambda url: sub.crl(revoked=[(1, now() - HOUR, None)]), "pass"),
        "empty list, which should be absent": (lambda url: sub.crl(odd=("empty",)), "pass"),
    }
    with w.gateway() as gateway:
        for i, (name, (make, result)) in enumerate(cases.items()):
            url = f"{w.http.base}/odd-{i}.crl"
            w.http.put(f"/odd-{i}.crl", body(make(url), CRL_TYPE))
            expect(problems, name, gateway.receive(w.sign(w.person(sub, crl=[url]), sub.certificate)), result)
    assert not problems, "\n".join(problems)


def test_an_authority_with_a_new_key():
    """One name, two keys (RFC 5280 4.2.1.1): certificates of either are judged by the list that is signed for them."""
    w = world()
    old = w.issuer("rekeyed", publish=False)
    new = Ca(w.folder, old.common, w.root, key=next(w.keys), extensions=[cdp(w.url(w.root))])
    assert new.key is not old.key and new.subject == old.subject
    urls = {ca: w.http.put(f"/rekeyed-{i}.crl", b"") for i, ca in enumerate((old, new))}
    people = {}
    for ca in (old, new):
        people[ca] = [w.person(ca, crl=[urls[ca]], issuers=None) for _ in range(2)]
        ca.revoke(people[ca][1])
        w.http.put(urls[ca].replace(w.http.base, ""), body(ca.crl(), CRL_TYPE))
    with w.gateway() as gateway:
        for ca, (good, bad) in people.items():
            # Both certificates of the authority come along, the wrong one first.
            both = (new.certificate, old.certificate) if ca is old else (old.certificate, new.certificate)
            verdict = gateway.receive(w.sign(good, *both))
            assert verdict.result == "pass", verdict
            verdict = gateway.receive(w.sign(bad, *both))
            assert verdict.reason == "revoked", verdict


def test_a_slow_server_that_ends_in_time_is_waited_for_and_a_second_url_helps():
    w = world()
    sub = w.issuer("slow", publish=False)
    url = w.http.put("/late.crl", late(body(sub.crl(), CRL_TYPE), 0.5))
    with w.gateway() as gateway:
        verdict = gateway.receive(w.sign(w.person(sub, crl=[url])))
        assert verdict.result == "pass", verdict
        assert verdict.seconds >= 0.5
    # Two points, two URLs of one point: any of them will do.
    for together in (False, True):
        pointers = [cdp(dead_url(), w.http.put("/well.crl", body(sub.crl(), CRL_TYPE)), together=together)]
        person = w.person(sub, crl=None, extensions=pointers)
        with w.gateway() as gateway:
            verdict = gateway.receive(w.sign(person))
            assert verdict.result == "pass", (together, verdict)


def test_nothing_is_fetched_for_what_cannot_hold():
    w = world()
    stranger = Ca(w.folder, "stranger root", key=next(w.keys))
    sub = w.issuer("quiet")
    far = stranger.user("bob@partner.example", next(w.keys), [cdp(w.http.put("/far.crl", stranger.crl()))])
    expired = w.person(sub, first=now() - 9 * DAY, last=now() - DAY)
    forged = w.sign(w.person(sub)).replace(b"this is bob", b"this is BOB")
    with w.gateway() as gateway:
        messages = {"stranger's root": w.sign(far, stranger.certificate), "expired": w.sign(expired), "forged": forged,
                    "no signer of mail": w.sign(w.person(sub, usage=("keyAgreement",)))}
        asked = {}
        for name, message in messages.items():
            w.http.forget()
            assert gateway.receive(message).result == "fail", gateway.text()
            # An issuer may be asked for, to tell what is wrong; status of what is refused already is nobody's business.
            asked[name] = [p for p in w.http.asked if p.endswith(".crl")]
        assert not any(asked.values()), asked


def test_an_old_crl_inside_a_message_does_not_help_the_signer():
    w = world()
    sub = w.issuer("embedded")
    bob = w.person(sub)
    before = sub.crl()
    sub.revoke(bob)
    w.publish(sub)
    message = w.sign(bob, sub.certificate, crls=[before, w.root.crl()])
    with w.gateway() as gateway:
        # Cold: the list is fetched, although the message brings one that is in date.
        verdict = gateway.receive(message)
        assert verdict.result == "fail" and verdict.reason == "revoked", verdict
        assert gateway.receive(w.sign(bob, sub.certificate)).reason == "revoked"
    # The same signer, and a server that is silent: not known, never good.
    w.http.put(f"/{sub.common.replace(' ', '-')}.crl", hang())
    with w.gateway() as gateway:
        verdict = gateway.receive(message)
        assert verdict.result == "temperror", verdict
    # A CRL that revokes counts wherever it comes from.
    with w.gateway() as gateway:
        verdict = gateway.receive(w.sign(bob, sub.certificate, crls=[sub.crl()]))
        assert verdict.result == "fail" and verdict.reason == "revoked", verdict


def test_modes_per_direction():
    w = world()
    sub = w.issuer("modes", publish=False)
    dead = dead_url()
    bob, bad = w.person(sub, crl=[dead]), w.person(sub, "bad@partner.example")
    sub.revoke(bad)
    w.publish(sub)
    for inbound, outbound, result, code in (("require", "prefer", "temperror", 250), ("prefer", "require", "pass", 451),
                                            ("off", "off", "pass", 250)):
        with w.gateway(recipients=[bob, bad], revocation_inbound=inbound, revocation_outbound=outbound) as gateway:
            verdict = gateway.receive(w.sign(bob, sub.certificate))
            assert verdict.result == result, (inbound, verdict)
            verdict = gateway.send()
            assert verdict.code == code, (outbound, verdict)
            # Revoked is revoked in every mode but off.
            verdict = gateway.receive(w.sign(bad, sub.certificate, sender="bad@partner.example"))
            assert verdict.result == ("pass" if inbound == "off" else "fail"), (inbound, verdict)


def test_the_network_can_be_turned_off():
    w = world()
    sub = w.issuer("off")
    bob = w.person(sub)
    with w.gateway(fetch="no") as gateway:
        w.http.forget()
        assert gateway.receive(w.sign(bob, sub.certificate)).result == "temperror", gateway.text()
        assert gateway.receive(w.sign(bob)).result in ("fail", "temperror"), gateway.text()
        assert w.http.count() == 0, w.http.asked


# ---- sets, directories -------------------------------------------------------------------------


def test_trust_sets_are_chosen_by_rule():
    w = world()
    own = Ca(w.folder, "the partner's own root", key=next(w.keys))
    folder = w.scratch.folder("partner-anchors")
    (folder / "root.pem").write_bytes(own.certificate.pem)
    w.publish(own)
    theirs = own.user("bob@partner.example", next(w.keys), [cdp(w.url(own))])
    sub = w.issuer("ours")
    ours = w.person(sub, "carol@other.example")
    trust = (f'trust "default" {{\n    anchors = "{w.anchors}"\n}}\ntrust "partner" {{\n    anchors = "{folder}"\n}}\n')
    rules = ('rule "partner in" {\n    direction = in\n    sender = *@partner.example\n    trust = partner\n}\n'
             'rule "partner out" {\n    direction = out\n    recipient = *@partner.example\n    sign = never\n'
             '    encrypt = always\n    trust = partner\n}\n'
             'rule "out" {\n    direction = out\n    sign = never\n    encrypt = always\n}\nrule "in" {\n    direction = in\n}\n')
    with w.gateway(trust=trust, rules=rules, recipients=[theirs, ours]) as gateway:
        assert gateway.receive(w.sign(theirs)).result == "pass", gateway.text()
        verdict = gateway.receive(w.sign(ours, sender="carol@other.example"), sender="carol@other.example")
        assert verdict.result == "pass", verdict
        # The set of another rule's roots is of no use.
        foreign = own.user("carol@other.example", next(w.keys), [cdp(w.url(own))])
        verdict = gateway.receive(w.sign(foreign, sender="carol@other.example"), sender="carol@other.example")
        assert verdict.result == "fail" and verdict.reason == "untrusted", verdict
        assert gateway.send().code == 250, gateway.text()
        assert gateway.send("carol@other.example").code == 250, gateway.text()


def test_crls_and_issuers_of_the_directory():
    w = world()
    slapd = Slapd(w.scratch, "slapd-crl")
    CLOSERS.insert(0, slapd.stop)
    sub = w.issuer("in the directory", publish=False)
    bad = w.person(sub, "bad@partner.example", crl=None)
    sub.revoke(bad)
    crl_url, ca_url = slapd.put("sub crl", crl=sub.crl()), slapd.put("sub ca", ca=sub.certificate.der)
    slapd.start()
    # The host of a URL is not asked: the configured servers are, whatever it says.
    cases = {"no host": (crl_url, "pass"), "another host": (crl_url.replace("ldap:///", "ldap://192.0.2.1/"), "pass"),
             "no such entry": (crl_url.replace("sub%20crl", "gone"), "temperror"),
             "another attribute": (crl_url.replace("certificateRevocationList;binary", "description"), "temperror")}
    directory = f'directory "people" {{\n    servers = "{slapd.url}"\n    base = "{Slapd.BASE}"\n    starttls = no\n}}\n'
    problems = []

    def person(url, **more):
        return w.person(sub, "bad@partner.example", crl=[url], issuers=[ca_url], **more)

    def ask(gateway, name, signed, *results):
        expect(problems, name, gateway.receive(signed, "bad@partner.example"), *results)

    with w.gateway(directory) as gateway:
        for name, (url, result) in cases.items():
            ask(gateway, name, w.sign(person(url), sender="bad@partner.example"), result)
        ask(gateway, "revoked", w.sign(person(crl_url, serial=bad.serial), sender="bad@partner.example"), "fail", "revoked")
        slapd.stop()
    with w.gateway(directory) as gateway:
        ask(gateway, "server gone", w.sign(person(crl_url), sub.certificate, sender="bad@partner.example"), "temperror")
    assert not problems, "\n".join(problems)


if __name__ == "__main__":
    main(globals())
