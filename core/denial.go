package core

// Denial is what a person is told who may not open an application: whom to ask, and
// what to do next. Why is for administrators, who find it by the decision's ID.
type Denial struct {
	Application string // name
	UserName    string // as whom they are logged in
	// Messages are what the application's policies have to say to the person.
	Messages []string
	Decision string
	// ReturnTo is the path on this host where somebody else, once logged in, goes
	// on. Empty: "My applications".
	ReturnTo string
}
