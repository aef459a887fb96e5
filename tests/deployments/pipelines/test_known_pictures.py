"""What an ingress replica knows to be encoded: ids, the ones used last."""

from deployments.pipelines.known_pictures import KnownPictures


def test_the_ids_used_last_are_known() -> None:
    known = KnownPictures(capacity=2)
    for image_id in ("a", "b", "a", "c"):
        known.add(image_id)
    assert [image_id in known for image_id in "abc"] == [True, False, True]
    known.discard("a")
    known.discard("never there")
    assert "a" not in known
