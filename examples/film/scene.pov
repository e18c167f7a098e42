// A wheel in a mill's stream: eight paddles that turn once while the clock goes from 0 to 1.
#version 3.7;
global_settings { assumed_gamma 1.0 }

camera { location <0, 2.2, -6> look_at <0, 0.4, 0> angle 42 }
light_source { <6, 9, -8> rgb 1 }
background { rgb <0.55, 0.75, 0.95> }

plane {
  y, -1
  pigment { rgb <0.1, 0.3, 0.45> }
  normal { ripples 0.6 frequency 6 phase clock }
  finish { reflection 0.35 specular 0.4 }
}

union {
  torus { 1.5, 0.08 rotate <90, 0, 0> translate <0, 0, -0.35> }
  torus { 1.5, 0.08 rotate <90, 0, 0> translate <0, 0, 0.35> }
  cylinder { <0, 0, -0.6>, <0, 0, 0.6>, 0.15 }
  #for (I, 0, 7)
    box { <0.1, -0.04, -0.33>, <1.7, 0.04, 0.33> rotate <0, 0, 45 * I> }
  #end
  pigment { rgb <0.45, 0.28, 0.12> }
  finish { phong 0.3 }
  rotate <0, 0, -360 * clock>
  translate <0, 0.6, 0>
}
