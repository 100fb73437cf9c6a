task how_many (xs: list) -> int
about     How many elements a list has.
ensures   0 <= result
example   [-6] -> 1
example   [-5, 9, 6, 8, 3] -> 5
example   [8, 0, 2, -2] -> 4
example   [6, 3, 2, -1, -9, -5, 9] -> 7
example   [-6, -3, 9, 9, -8, -2, 2, 5] -> 8
reference length xs
