"""DSA keys in a group that stands here: to look for one takes seconds, and a key in it none."""

from __future__ import annotations

from typing import Final

from cryptography.hazmat.primitives.asymmetric import dsa

_P: Final = bytes.fromhex(
    "cb11e9a65efcfbc29591dc8e4d4e5bbedacc8c63343b4236eb944c77dbbaeafce9bdf7972896cc236ebf9cdb"
    "e6e8e5b64767f6aba4f688e88e17793f4195d86adabbee9b00226a0e4a5a01170920ce6d411a2478e602a80e"
    "0ffd2bb7b0bcb5c7f0b5c75467cc664139b391ef13d292f48e3ef9936213f56f1cdc114b9a4df6b6e1d2358e"
    "d03fd6418af196ed06baaae6b5de9b08d5901ce40f5c58ec566ef51eb412f8e9b6d6b070e905feb6cdd3dab4"
    "7d87793c3aab50f161cd0d3dcdd73be6517ed104bd104fde7423458fc061c4c4605a3cb918dd5459f895e595"
    "ba6ecbcaf6ba630582a0ddf72ddc28767dfe79c3da7ac3dded1c2742b3c5de52cf44541f"
)
_Q: Final = bytes.fromhex("95a7d7e8fd69871b9068c89c62d66969c394e31eb81e6f82c58a3e4061a4e8b9")
_G: Final = bytes.fromhex(
    "4ce961681a4b9bae05c66e56ea32d87953c66462f5c76a2b40f25d88f7a57865f07f92701b4f62d540fb00dd"
    "0895669c9284a4e6e308c22af06d548676fbc0b1edfd7f49e8081ac6311b2e9d63472b9de7fb3f58eb0327c5"
    "7b9a9d9ae3ec8646b84a3b011d2eeedcec40b3322a71995d22a920933d292584eecd2b178d89a932a8590bcc"
    "b6ca7cae819d521121ca9236484909e225fb8f4218e1ceb683580738765e17010b920f48f4050f191fec1c8d"
    "0e6e899f73328a8c68bdf27130a877514359e95eefb9e8bfb09258f7d238a251ded8fe5c04f877b37475f3e5"
    "39a032f865064594f671081ce40de363aa86ed5ef4f0014affe2605e873b26a534bb4dc8"
)


def dsa_key() -> dsa.DSAPrivateKey:
    """A new key of 2048 bits."""
    p, q, g = (int.from_bytes(number, "big") for number in (_P, _Q, _G))
    return dsa.DSAParameterNumbers(p, q, g).parameters().generate_private_key()
