package model

// The error codes. A code never changes its meaning; docs/errors.md has a
// page for each, and a test keeps both lists equal.
const (
	CodeInternal     Code = "D100" // a fault of dinp itself
	CodeBadRequest   Code = "D101" // the request cannot be read
	CodeUnauthentic  Code = "D102" // no or wrong credentials
	CodeDenied       Code = "D103" // the role does not allow it
	CodeNotFound     Code = "D104" // the named thing does not exist
	CodeStale        Code = "D105" // generation mismatch: edited meanwhile
	CodeUnavailable  Code = "D106" // a part that is needed is away
	CodeTooMany      Code = "D107" // too many attempts or requests
	CodeConflict     Code = "D108" // the thing exists already, or is in use
	CodePortTaken    Code = "D110" // a port is in use by something else
	CodeDockerAway   Code = "D111" // the Docker engine does not answer
	CodeBadConfig    Code = "D112" // configuration file, flag or variable
	CodeBadAppName   Code = "D120" // the name is not a DNS label
	CodeAppTaken     Code = "D121" // the app name is taken
	CodeBadEnv       Code = "D122" // environment variable name or size
	CodeBadSize      Code = "D123" // memory, CPU, instances or port out of range
	CodeBadDomain    Code = "D124" // not a host name we can route
	CodeDomainTaken  Code = "D125" // the domain is bound to another app
	CodeNoRelease    Code = "D126" // nothing to run, scale or roll back to
	CodeBadArtifact  Code = "D130" // not an archive we know, or broken
	CodeTooLarge     Code = "D131" // artifact past its limit
	CodeUnknownKind  Code = "D132" // no runtime recognises the artifact
	CodeBadRuntime   Code = "D133" // unknown runtime, or it refuses the artifact
	CodeHostile      Code = "D134" // the archive tries to leave its folder
	CodeBuildFailed  Code = "D135" // the build ran and failed
	CodeBuildStopped Code = "D136" // cancelled, or past its deadline
	CodeNoImage      Code = "D137" // the image reference does not resolve
	CodeRegistryAway Code = "D138" // the registry does not answer
	CodeNoBaseImage  Code = "D139" // the runtime's base image is missing
	CodePreflight    Code = "D180" // the artifact would not run, as a look at it shows
	CodeConvert      Code = "D181" // the runtime's converter failed on the artifact
	CodeNoMemory     Code = "D140" // no node has room
	CodeNoNode       Code = "D141" // no node is ready at all
	CodeNotReady     Code = "D142" // the new release never became ready
	CodeCrashed      Code = "D143" // the new release's process ended
	CodePullFailed   Code = "D144" // a node cannot pull the image
	CodeSuperseded   Code = "D145" // a newer release took over
	CodeStartFailed  Code = "D146" // the engine refuses to start the container
	CodeNoLeader     Code = "D150" // no server leads at the moment
	CodeNoSuchHost   Code = "D160" // router: no app at this address
	CodeNoReady      Code = "D161" // router: the app has no ready instance
	CodeBadGateway   Code = "D162" // router: the instance broke the connection
	CodeGatewaySlow  Code = "D163" // router: the instance did not answer in time
	CodeMaintenance  Code = "D164" // router: the app is in maintenance
	CodeBadRouting   Code = "D170" // an app's routing settings cannot be used
	CodeTooBusy      Code = "D171" // router: as many requests at once as the app allows
	CodeRateLimited  Code = "D172" // router: more requests per second than the app allows
	CodeNotFromHere  Code = "D173" // router: the address is not on the app's list
	CodeNeedsLogin   Code = "D174" // router: the app asks for a name and a password
	CodeBodyTooLarge Code = "D175" // router: the request's body is past the app's limit
	CodeBadCert      Code = "D177" // a certificate or key that cannot be used for the name
	CodeACME         Code = "D178" // the certificate authority gave no certificate
	CodeSourceLimit  Code = "D179" // router: too many requests from one address
)

// The codes of where instances may run.
const (
	CodeBadConstraint Code = "D147" // a constraint cannot be read
	CodeNoMatch       Code = "D148" // no node meets the app's constraints
	CodeAlone         Code = "D200" // a singleton waits for the end of the instance before it
	CodeJudged        Code = "D205" // a canary did worse than the release before it
	CodeHeld          Code = "D206" // too few requests came to judge a canary by
	CodeBadNode       Code = "D149" // a node on which apps end that run elsewhere
)

// The codes of sources, provenance and room.
const (
	CodeBadSource     Code = "D187" // the address may not be fetched from
	CodeSourceFailed  Code = "D188" // what the address answered cannot be used
	CodeDiskFull      Code = "D189" // no room for the work
	CodeBuildKills    Code = "D190" // the build ended builder after builder
	CodeBadProvenance Code = "D191" // the image is not what was signed
	CodeBadRegistry   Code = "D192" // images of that registry are not taken
	CodeRebase        Code = "D193" // a rebase stopped at an app that did not come up on the new base
	CodeImageGone     Code = "D194" // retention has removed the release's image
)

// The codes between the parts.
const (
	CodeNoCertificate Code = "D195" // a part shows no certificate, or one that is not good
	CodeBadJoin       Code = "D196" // the join token is not known, was used, or is too old
	CodeWrongIdentity Code = "D197" // the certificate is of another part than the caller says
	CodeNameTaken     Code = "D198" // the part that joins has a good certificate already
	CodeCutOff        Code = "D199" // the leader may have taken the node for lost: no singleton runs there
)

var kinds = map[Code]Kind{
	CodeInternal: Internal, CodeBadRequest: Invalid, CodeUnauthentic: Unauthentic, CodeDenied: Denied,
	CodeNotFound: NotFound, CodeStale: Stale, CodeUnavailable: Unavailable, CodeTooMany: Unavailable,
	CodeConflict: Conflict, CodePortTaken: Unavailable, CodeDockerAway: Unavailable, CodeBadConfig: Invalid,
	CodeBadAppName: Invalid, CodeAppTaken: Conflict, CodeBadEnv: Invalid, CodeBadSize: Invalid,
	CodeBadDomain: Invalid, CodeDomainTaken: Conflict, CodeNoRelease: Conflict, CodeBadArtifact: Invalid,
	CodeTooLarge: TooLarge, CodeUnknownKind: Invalid, CodeBadRuntime: Invalid, CodeHostile: Invalid,
	CodeBuildFailed: Failed, CodeBuildStopped: Failed, CodeNoImage: Invalid, CodeRegistryAway: Unavailable,
	CodeNoBaseImage: Failed, CodeNoMemory: Failed, CodeCutOff: Failed, CodeNoNode: Failed, CodeNotReady: Failed,
	CodeCrashed: Failed, CodePullFailed: Failed, CodeSuperseded: Failed, CodeStartFailed: Failed,
	CodeBadConstraint: Invalid, CodeNoMatch: Failed, CodeBadNode: Failed, CodeAlone: Failed, CodeJudged: Failed, CodeHeld: Failed,
	CodePreflight: Invalid, CodeConvert: Failed,
	CodeNoLeader: Unavailable, CodeNoSuchHost: NotFound, CodeNoReady: Unavailable, CodeBadGateway: Unavailable,
	CodeGatewaySlow: Unavailable, CodeMaintenance: Unavailable,
	CodeBadRouting: Invalid, CodeTooBusy: Unavailable, CodeRateLimited: Unavailable, CodeNotFromHere: Denied,
	CodeNeedsLogin: Unauthentic, CodeBodyTooLarge: TooLarge, CodeBadCert: Invalid, CodeACME: Failed, CodeSourceLimit: Unavailable,
	CodeBadSource: Invalid, CodeSourceFailed: Failed, CodeDiskFull: Unavailable, CodeBuildKills: Failed,
	CodeBadProvenance: Failed, CodeBadRegistry: Invalid, CodeRebase: Failed, CodeImageGone: Conflict,
	CodeNoCertificate: Unauthentic, CodeBadJoin: Unauthentic, CodeWrongIdentity: Denied, CodeNameTaken: Conflict,
}

func kindOf(c Code) Kind {
	if k, ok := kinds[c]; ok {
		return k
	}
	return Internal
}

// Codes returns every code with its kind.
func Codes() map[Code]Kind {
	out := make(map[Code]Kind, len(kinds))
	for c, k := range kinds {
		out[c] = k
	}
	return out
}
