task factorial (n: int) -> int
about     The product of the whole numbers from 1 to n.
requires  0 <= n && n <= 12
ensures   0 < result
example   0 -> 1
example   1 -> 1
example   3 -> 6
example   5 -> 120
example   7 -> 5040
reference product (map (\x -> x + 1) (range n))
