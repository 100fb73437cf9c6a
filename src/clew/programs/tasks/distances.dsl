task distances (n: int, xs: list) -> list
about     How far each element is from n.
ensures   length result == length xs
ensures   all (\x -> 0 <= x) result
example   -2, [0, -3] -> [2, 1]
example   0, [6, 1, -8, -9, -5, -8] -> [6, 1, 8, 9, 5, 8]
example   -4, [-6, 1, -4, -3, 5, -9, -8] -> [2, 5, 0, 1, 9, 5, 4]
example   3, [-5, 4, 4, -8, -5] -> [8, 1, 1, 11, 8]
example   4, [-5, 1, 4, -9, -7, 7, -3, -7] -> [9, 3, 0, 13, 11, 3, 7, 11]
reference map (\x -> abs (x - n)) xs
