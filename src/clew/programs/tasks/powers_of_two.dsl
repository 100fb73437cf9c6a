task powers_of_two (n: int) -> list
about     The first n powers of two: 1, 2, 4, ...
requires  0 <= n && n <= 30
ensures   length result == n
example   0 -> []
example   1 -> [1]
example   3 -> [1, 2, 4]
example   5 -> [1, 2, 4, 8, 16]
example   8 -> [1, 2, 4, 8, 16, 32, 64, 128]
reference scan (\x y -> x * 2) (map (\x -> 1) (range n))
