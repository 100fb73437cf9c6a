task without_repeats (xs: list) -> list
about     Each element once, where it stands first.
ensures   length result <= length xs
example   [3, 3] -> [3]
example   [4, 1, 0, 3, 0] -> [4, 1, 0, 3]
example   [4, 0, 2, 1, 0, 3, 2] -> [4, 0, 2, 1, 3]
example   [2, 0, 4, 3, 3] -> [2, 0, 4, 3]
example   [2, 0, 4, 4, 0, 1, 1, 4, 1] -> [2, 0, 4, 1]
reference unique xs
