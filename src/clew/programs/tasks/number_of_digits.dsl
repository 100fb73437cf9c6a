task number_of_digits (xs: list) -> int
about     The number that a list of decimal digits writes.
requires  all (\x -> 0 <= x && x < 10) xs
requires  length xs <= 9
ensures   0 <= result
example   [3] -> 3
example   [9, 4] -> 94
example   [1, 5, 9] -> 159
example   [7, 0, 5, 9, 0] -> 70590
example   [4, 3, 9, 6, 5, 6, 3, 5] -> 43965635
reference fold (\x y -> x * 10 + y) 0 xs
